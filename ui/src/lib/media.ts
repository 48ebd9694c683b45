import { useMemo } from "react";
import { type Readable, useStore } from "./store";

const never: Readable<boolean> = { get: () => false, subscribe: () => () => {} };

/** Reports whether a media query matches. */
export function useMedia(query: string): boolean {
  const store = useMemo((): Readable<boolean> => {
    if (typeof matchMedia !== "function") return never;
    const list = matchMedia(query);
    return {
      get: () => list.matches,
      subscribe: (listener) => {
        list.addEventListener("change", listener);
        return () => list.removeEventListener("change", listener);
      },
    };
  }, [query]);
  return useStore(store);
}
