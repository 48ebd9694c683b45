import { useSyncExternalStore } from "react";

type Listener<T> = (value: T) => void;

/** A list of listeners. A listener that is added or removed while others are called takes effect at the next emit. */
export class Signal<T = void> {
  private listeners: readonly Listener<T>[] = [];

  /** Calls the listener at each emit, until the function that it returns is called. */
  subscribe = (listener: Listener<T>) => {
    this.listeners = [...this.listeners, listener];
    return () => {
      this.listeners = this.listeners.filter((other) => other !== listener);
    };
  };

  emit = (value: T) => {
    for (const listener of this.listeners) listener(value);
  };

  get size() {
    return this.listeners.length;
  }
}

/** Something a component can follow. */
export interface Readable<T> {
  get: () => T;
  subscribe: (listener: () => void) => () => void;
}

export interface Store<T> extends Readable<T> {
  /** Replaces the value. Listeners are called unless it is the same. */
  set: (next: T) => void;
}

export function createStore<T>(initial: T): Store<T> {
  const changed = new Signal();
  let value = initial;
  return {
    get: () => value,
    set: (next) => {
      if (Object.is(next, value)) return;
      value = next;
      changed.emit();
    },
    subscribe: changed.subscribe,
  };
}

/** Returns the store's value, or what `select` takes from it. The component renders again when that changes. */
export function useStore<T>(store: Readable<T>): T;
export function useStore<T>(store: Pick<Readable<unknown>, "subscribe">, select: () => T): T;
export function useStore<T>(store: Pick<Readable<T>, "subscribe">, select?: () => T): T {
  return useSyncExternalStore(store.subscribe, select ?? (store as Readable<T>).get);
}
