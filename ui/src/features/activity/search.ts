import { drop, type Raw, text } from "../../lib/search";

export interface ActivitySearch {
  kind?: string | undefined;
  node?: string | undefined;
}

export function activitySearch(raw: Raw): ActivitySearch {
  return drop({ kind: text(raw.kind), node: text(raw.node) });
}
