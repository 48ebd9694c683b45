import type { Kind } from "../graphql/documents";
import { createStore, useStore } from "../lib/store";

/** The dialog that is open, with what it is opened with. Only one is open at a time. */
export type Open =
  | { type: "launch"; kind?: Kind | undefined; reattach?: string | undefined }
  | { type: "remove"; id: string }
  | { type: "rotate"; id: string }
  | { type: "separate"; id: string }
  | { type: "labels"; id: string }
  | { type: "register" }
  | { type: "removeNode"; id: string }
  | { type: "deleteRetained"; id: string; name: string }
  | { type: "createToken" }
  | { type: "revokeToken"; id: string; name: string }
  | { type: "revokeSession"; id: string; name: string; current: boolean }
  | { type: "loginLink" }
  | { type: "help" }
  | { type: "nav" };

const store = createStore<Open | null>(null);
let allowed = (_: Open) => true;

export const dialogs = {
  get: store.get,
  subscribe: store.subscribe,
  close: () => store.set(null),
  /** Opens a dialog unless the guard refuses it. */
  open(next: Open) {
    if (allowed(next)) store.set(next);
  },
  /** Sets the guard, which decides which dialogs may be opened. */
  guard(may: (open: Open) => boolean) {
    allowed = may;
  },
};

export const useDialog = () => useStore(store);
