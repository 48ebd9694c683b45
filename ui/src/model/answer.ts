import { useCallback, useEffect, useRef, useState } from "react";
import { socketState } from "../graphql/socket";
import { wordsOf } from "../lib/errors";

const minute = 60_000; // ms

/** Calls `load` now, then every so many ms while the page is in sight, and when the connection is back. */
function useReload(load: () => void, every: number) {
  useEffect(() => {
    load();
    const look = () => {
      if (document.visibilityState === "visible") load();
    };
    const timer = setInterval(look, every);
    document.addEventListener("visibilitychange", look);
    const end = socketState.subscribe(() => socketState.get() === "live" && load());
    return () => {
      clearInterval(timer);
      document.removeEventListener("visibilitychange", look);
      end();
    };
  }, [load, every]);
}

export interface Answer<T> {
  data: T | undefined;
  error: string;
  reload: () => void;
}

/** What `load` gives, now and again every so many ms. Until it has answered, the answer of the load before stays. */
export function useAnswer<T>(load: () => Promise<T>, every = minute): [Answer<T>, (change: (data: T) => T) => void] {
  const [state, setState] = useState<{ data: T | undefined; error: string }>({ data: undefined, error: "" });
  const newest = useRef(0);
  const reload = useCallback(() => {
    const turn = ++newest.current;
    const set = (next: (before: typeof state) => typeof state) => turn === newest.current && setState(next);
    load().then(
      (data) => set(() => ({ data, error: "" })),
      (error) => set((before) => ({ ...before, error: wordsOf(error) })),
    );
  }, [load]);
  useReload(reload, every);
  const change = useCallback(
    (to: (data: T) => T) => setState((s) => (s.data === undefined ? s : { ...s, data: to(s.data) })),
    [],
  );
  return [{ ...state, reload }, change];
}
