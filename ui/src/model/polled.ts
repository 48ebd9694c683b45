import { socketState } from "../graphql/socket";
import { createStore, type Readable } from "../lib/store";

/**
 * A value that `load` gives for as long as somebody follows it: now, every so many ms while the page is in sight, and when
 * the connection is back. When it cannot be loaded, what was known stays.
 */
export function polled<T>(
  initial: T,
  load: (before: T) => Promise<T>,
  every: number,
): Readable<T> & { reload: () => void } {
  const store = createStore(initial);
  let timer: ReturnType<typeof setInterval> | undefined;
  let followers = 0;
  let ends = () => {};
  const reload = () => {
    if (document.visibilityState === "hidden" && store.get() !== initial) return;
    load(store.get()).then(store.set, () => {});
  };
  return {
    get: store.get,
    reload: () => followers > 0 && reload(),
    subscribe(listener) {
      const end = store.subscribe(listener);
      if (followers++ === 0) {
        reload();
        timer = setInterval(reload, every);
        ends = socketState.subscribe(() => socketState.get() === "live" && reload());
      }
      return () => {
        end();
        if (--followers > 0) return;
        clearInterval(timer);
        ends();
      };
    },
  };
}
