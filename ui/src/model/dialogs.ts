import type { Kind } from "../graphql/documents";
import { createStore, useStore } from "../lib/store";

/** The dialogs about backups. */
export type BackupDialog =
  | { type: "backUp"; serviceId: string }
  | { type: "restore"; serviceId: string; backupId: string }
  | { type: "move"; serviceId: string }
  | { type: "swap"; serviceId: string }
  | { type: "contents"; backupId: string }
  | { type: "deleteBackup"; backupId: string; serviceName: string; at: string }
  | { type: "policy"; serviceId?: string | undefined; policyId?: string | undefined }
  | { type: "deletePolicy"; policyId: string; of: string }
  | { type: "createTarget" }
  | { type: "importTarget" }
  | { type: "recoveryKit"; targetId: string; name: string }
  | { type: "deleteTarget"; targetId: string; name: string };

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
  | { type: "backup"; of: BackupDialog }
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
