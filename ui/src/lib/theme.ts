import { useSyncExternalStore } from "react";

const listeners = new Set<() => void>();
const root = document.documentElement;

export function toggleTheme() {
  const next = root.dataset.theme === "dark" ? "light" : "dark";
  root.dataset.theme = next;
  try {
    localStorage.setItem("uws-theme", next);
  } catch {
    // Storage is forbidden: it lasts as long as the page.
  }
  for (const listener of listeners) listener();
}

// As long as nobody has chosen, the system's theme is followed.
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", (event) => {
  try {
    if (localStorage.getItem("uws-theme")) return;
  } catch {
    // follow it
  }
  root.dataset.theme = event.matches ? "dark" : "light";
  for (const listener of listeners) listener();
});

export const useTheme = () =>
  useSyncExternalStore(
    (listener) => {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    () => (root.dataset.theme === "dark" ? "dark" : "light"),
  );
