import { createStore, type Store } from "./store";

/** Choices that are kept in the browser. Without storage they last as long as the page. */
export interface Stored<T> extends Pick<Store<T>, "get" | "subscribe"> {
  change: (part: Partial<T>) => void;
}

/** Returns switches that are kept under a key; those that were never set are as in `defaults`. */
export function stored<Name extends string>(
  key: string,
  defaults: Record<Name, boolean>,
): Stored<Record<Name, boolean>> {
  const store = createStore(load(key, defaults));
  return {
    get: store.get,
    subscribe: store.subscribe,
    change(part) {
      store.set({ ...store.get(), ...part });
      try {
        localStorage.setItem(key, JSON.stringify(store.get()));
      } catch {
        // The choice lasts as long as the page.
      }
    },
  };
}

function load<Name extends string>(key: string, defaults: Record<Name, boolean>): Record<Name, boolean> {
  try {
    const kept = JSON.parse(localStorage.getItem(key) ?? "{}");
    const known = Object.entries(kept).filter(([name, value]) => name in defaults && typeof value === "boolean");
    return { ...defaults, ...Object.fromEntries(known) };
  } catch {
    return defaults; // storage is forbidden, or holds something else
  }
}
