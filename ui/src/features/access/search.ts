import { drop, type Raw, text } from "../../lib/search";

export interface AuditSearch {
  actor?: string | undefined;
  action?: string | undefined;
  result?: string | undefined;
}

export function auditSearch(raw: Raw): AuditSearch {
  return drop({ actor: text(raw.actor), action: text(raw.action), result: text(raw.result) });
}
