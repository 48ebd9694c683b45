import { drop, oneOf, type Raw, text } from "../../lib/search";
import { type Group, groups } from "../../model/status";
import type { SortKey } from "../../model/view";
import { type LogSearch, logSearch } from "../logs/search";

export interface ListSearch {
  q?: string | undefined;
  status?: Group | undefined;
  node?: string | undefined;
  backup?: "trouble" | undefined;
  sort?: SortKey | undefined;
  desc?: "1" | undefined;
}

export const tabs = ["overview", "usage", "events", "logs", "backups", "connect", "settings"] as const;
export type Tab = (typeof tabs)[number];
/** Of the health and of the charts; each has some of them. */
export const ranges = ["1h", "24h", "7d", "30d", "1y"] as const;
export type Range = (typeof ranges)[number];

export interface DetailSearch extends LogSearch {
  tab?: Tab | undefined;
  range?: Range | undefined;
}

const sortKeys: readonly SortKey[] = ["name", "status", "kind", "node", "restarts", "created"];

export function listSearch(raw: Raw): ListSearch {
  return drop({
    q: text(raw.q),
    status: oneOf(groups, raw.status),
    node: text(raw.node),
    backup: raw.backup === "trouble" ? "trouble" : undefined,
    sort: oneOf(sortKeys, raw.sort),
    desc: raw.desc === "1" ? "1" : undefined,
  });
}

export function detailSearch(raw: Raw): DetailSearch {
  return drop({ tab: oneOf(tabs, raw.tab), range: oneOf(ranges, raw.range), ...logSearch(raw) });
}
