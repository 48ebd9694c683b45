import type { Group } from "./status";
import { groups } from "./status";
import type { SortKey } from "./view";

// What addresses may hold behind the "?". All of it is optional, and what is unknown is dropped.

export interface ListSearch {
  q?: string | undefined;
  status?: Group | undefined;
  node?: string | undefined;
  sort?: SortKey | undefined;
  desc?: "1" | undefined;
}

export const tabs = ["overview", "events", "connect", "settings"] as const;
export type Tab = (typeof tabs)[number];
export const ranges = ["1h", "24h", "7d"] as const;
export type Range = (typeof ranges)[number];

export interface DetailSearch {
  tab?: Tab | undefined;
  range?: Range | undefined;
}

export interface ActivitySearch {
  kind?: string | undefined;
  node?: string | undefined;
}

export interface AuditSearch {
  actor?: string | undefined;
  action?: string | undefined;
  result?: string | undefined;
}

const sortKeys: readonly SortKey[] = ["name", "status", "kind", "node", "restarts", "created"];

type Raw = Record<string, unknown>;
const oneOf = <T extends string>(all: readonly T[], value: unknown): T | undefined =>
  all.find((known) => known === value);
const text = (value: unknown) => (typeof value === "string" && value !== "" ? value : undefined);

export function listSearch(raw: Raw): ListSearch {
  return drop({
    q: text(raw.q),
    status: oneOf(groups, raw.status),
    node: text(raw.node),
    sort: oneOf(sortKeys, raw.sort),
    desc: raw.desc === "1" ? "1" : undefined,
  });
}

export function detailSearch(raw: Raw): DetailSearch {
  return drop({ tab: oneOf(tabs, raw.tab), range: oneOf(ranges, raw.range) });
}

export function activitySearch(raw: Raw): ActivitySearch {
  return drop({ kind: text(raw.kind), node: text(raw.node) });
}

export function auditSearch(raw: Raw): AuditSearch {
  return drop({ actor: text(raw.actor), action: text(raw.action), result: text(raw.result) });
}

function drop<T extends object>(search: T): T {
  return Object.fromEntries(Object.entries(search).filter(([, value]) => value !== undefined)) as T;
}

/** Addresses stay readable: plain words, no JSON. */
export const parseSearch = (search: string): Raw => Object.fromEntries(new URLSearchParams(search));
export function stringifySearch(search: Raw): string {
  const params = new URLSearchParams();
  for (const [key, value] of Object.entries(search)) if (value !== undefined) params.set(key, String(value));
  const out = params.toString();
  return out && `?${out}`;
}
