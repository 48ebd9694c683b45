import { createStore, useStore } from "./store";

type Theme = "light" | "dark";

const root = document.documentElement;
const key = "uws-theme";
const theme = createStore<Theme>(root.dataset.theme === "dark" ? "dark" : "light");
theme.subscribe(() => {
  root.dataset.theme = theme.get();
});

export function toggleTheme() {
  theme.set(theme.get() === "dark" ? "light" : "dark");
  try {
    localStorage.setItem(key, theme.get());
  } catch {
    // Storage is forbidden: the choice lasts as long as the page.
  }
}

// Without a choice, the page follows the system's theme.
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", (event) => {
  try {
    if (localStorage.getItem(key)) return;
  } catch {
    // follow it
  }
  theme.set(event.matches ? "dark" : "light");
});

export const useTheme = () => useStore(theme);
