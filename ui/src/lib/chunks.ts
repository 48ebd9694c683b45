/** Code that is loaded on its own, when it is first needed or when the browser is idle. */
export interface Chunk<T> {
  /** Always the same promise, until forget. */
  get(): Promise<T>;
  /** What was loaded; undefined until then. */
  loaded(): T | undefined;
  /** Loads it before it is needed. When that fails, the next get tries again. */
  preload(): Promise<void>;
  failed(): boolean;
  /** Has the next get load it again. */
  forget(): void;
}

const chunks: Chunk<unknown>[] = [];

export function chunk<T>(load: () => Promise<T>): Chunk<T> {
  let promise: Promise<T> | undefined;
  let loaded: T | undefined;
  let failed = false;
  const made: Chunk<T> = {
    get() {
      if (!promise) {
        promise = load();
        promise.then(
          (value) => {
            loaded = value;
          },
          () => {
            failed = true;
          },
        );
      }
      return promise;
    },
    loaded: () => loaded,
    preload: () =>
      made.get().then(
        () => {},
        () => made.forget(),
      ),
    failed: () => failed,
    forget() {
      promise = undefined;
      failed = false;
    },
  };
  chunks.push(made);
  return made;
}

/**
 * Loads all chunks one after the other, each when the browser is idle, so that pages that were never visited open while
 * the server is away.
 */
export async function prefetch(): Promise<void> {
  for (const each of chunks) {
    await new Promise<void>((resolve) => requestIdleCallback(() => resolve(), { timeout: 2_000 }));
    await each.preload();
  }
}

/** Reports whether the server has another version of the dashboard than the one that runs here. */
export async function isOutdated(): Promise<boolean> {
  const entry = document.querySelector<HTMLScriptElement>("script[type=module]")?.getAttribute("src");
  try {
    const answer = await fetch("/", { cache: "no-store", signal: AbortSignal.timeout(5_000) });
    return answer.ok && entry !== null && entry !== undefined && !(await answer.text()).includes(entry);
  } catch {
    return false; // nothing is known
  }
}
