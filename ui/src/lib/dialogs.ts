import { useSyncExternalStore } from "react";
import type { Kind } from "../graphql/documents";

/** The one dialog that may be open. */
export type Open =
  | { type: "launch"; kind?: Kind | undefined; reattach?: string | undefined }
  | { type: "remove"; id: string }
  | { type: "rotate"; id: string }
  | { type: "register" }
  | { type: "removeNode"; id: string }
  | { type: "deleteRetained"; id: string; name: string }
  | { type: "createToken" }
  | { type: "revokeToken"; id: string; name: string }
  | { type: "revokeSession"; id: string; name: string; current: boolean }
  | { type: "loginLink" }
  | { type: "help" }
  | { type: "nav" };

let current: Open | null = null;
let mayOpen = (_: Open) => true;
const listeners = new Set<() => void>();

function set(next: Open | null) {
  current = next;
  for (const listener of listeners) listener();
}

export const dialogs = {
  open: (next: Open) => {
    if (mayOpen(next)) set(next);
  },
  /** Keeps dialogs closed that are of no use, however they are asked for. */
  guard(may: (open: Open) => boolean) {
    mayOpen = may;
  },
  close: () => set(null),
  get: () => current,
  subscribe(listener: () => void) {
    listeners.add(listener);
    return () => void listeners.delete(listener);
  },
};

export const useDialog = () => useSyncExternalStore(dialogs.subscribe, dialogs.get);
