// Blocks the first paint, so that nobody sees the wrong theme for a moment.
(() => {
  let chosen = null;
  try {
    chosen = localStorage.getItem("uws-theme");
  } catch {
    // Storage is forbidden: the system's theme it is.
  }
  const dark = chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  document.documentElement.dataset.theme = dark ? "dark" : "light";
})();
