import { createStore } from "../../lib/store";

/** How lines are shown; kept in the browser. */
export interface Prefs {
  wrap: boolean;
  times: boolean;
}

const key = "uws-logs";

function load(): Prefs {
  try {
    const kept = JSON.parse(localStorage.getItem(key) ?? "{}");
    return { wrap: kept.wrap !== false, times: kept.times !== false };
  } catch {
    return { wrap: true, times: true }; // storage is forbidden, or holds something else
  }
}

export const prefs = createStore(load());

export function setPrefs(change: Partial<Prefs>) {
  prefs.set({ ...prefs.get(), ...change });
  try {
    localStorage.setItem(key, JSON.stringify(prefs.get()));
  } catch {
    // The choice lasts as long as the page.
  }
}
