import { drop, oneOf, type Raw, text } from "../../lib/search";

/** States of backups that can be filtered by. */
export const backupStatesShown = ["COMPLETE", "FAILED", "RUNNING", "QUEUED", "CANCELLED", "DELETING"] as const;

export interface BackupsSearch {
  kind?: string | undefined;
  state?: (typeof backupStatesShown)[number] | undefined;
  target?: string | undefined;
}

export function backupsSearch(raw: Raw): BackupsSearch {
  return drop({ kind: text(raw.kind), state: oneOf(backupStatesShown, raw.state), target: text(raw.target) });
}
