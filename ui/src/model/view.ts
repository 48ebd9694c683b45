import type { Kind, Service } from "../graphql/documents";
import type { Change, Live } from "../graphql/live";
import { Signal } from "../lib/store";
import { type Group, severity, statusOf } from "./status";

export type SortKey = "name" | "status" | "kind" | "node" | "restarts" | "created";

export interface Query {
  kind?: Kind | undefined;
  group?: Group | undefined;
  nodeId?: string | undefined;
  text?: string | undefined;
  sort: SortKey;
  descending: boolean;
}

/** Reports whether a service is in a list. Text is looked for in name, template, node, endpoint and labels (`name=value`); several words must all occur. */
export function matches(s: Service, q: Query, words = wordsOf(q.text)): boolean {
  if (q.kind && s.kind !== q.kind) return false;
  if (q.nodeId && s.node?.id !== q.nodeId) return false;
  if (q.group && statusOf(s).group !== q.group) return false;
  return (
    words.length === 0 ||
    words.every(
      (w) =>
        s.name.includes(w) ||
        s.template.name.includes(w) ||
        (s.node?.name.includes(w) ?? false) ||
        (s.endpoint?.includes(w) ?? false) ||
        s.labels.some((l) => `${l.name}=${l.value}`.toLowerCase().includes(w)),
    )
  );
}

export function wordsOf(text: string | undefined): string[] {
  return (text ?? "").toLowerCase().split(/\s+/).filter(Boolean);
}

function keyOf(s: Service, sort: SortKey): string | number {
  switch (sort) {
    case "name":
      return s.name;
    case "status":
      return severity[statusOf(s).group];
    case "kind":
      return s.kind;
    case "node":
      return s.node?.name ?? "";
    case "restarts":
      return s.restarts;
    case "created":
      return s.createdAt;
  }
}

/** Ids of the services that match, in order; equals are ordered by name. */
export function select(services: Iterable<Service>, q: Query): string[] {
  const words = wordsOf(q.text);
  const rows: { id: string; name: string; key: string | number }[] = [];
  for (const s of services) {
    if (matches(s, q, words)) rows.push({ id: s.id, name: s.name, key: keyOf(s, q.sort) });
  }
  const sign = q.descending ? -1 : 1;
  rows.sort((a, b) => (a.key < b.key ? -sign : a.key > b.key ? sign : a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
  return rows.map((row) => row.id);
}

/**
 * The ids of a list, kept up to date. They are selected and sorted again only when a change can move a row. A
 * change within a row that stays in its place costs nothing here.
 */
export class View {
  private ids: string[] | undefined;
  private readonly words: string[];

  /** With `every`, listeners are called at most once in so many ms: for lists that are looked at as a whole. */
  constructor(
    private readonly live: Live,
    private readonly query: Query,
    private readonly every = 0,
  ) {
    this.words = wordsOf(query.text);
  }

  get = (): string[] => {
    this.ids ??= select(this.live.services().values(), this.query);
    return this.ids;
  };

  subscribe = (listener: () => void) => {
    this.ids = undefined; // changes may have come while nobody listened
    let timer: ReturnType<typeof setTimeout> | undefined;
    const notify = () => {
      timer = undefined;
      this.ids = undefined;
      listener();
    };
    const end = this.live.subscribe((change) => {
      if (timer !== undefined || !this.moves(change)) return;
      if (this.every > 0) timer = setTimeout(notify, this.every);
      else notify();
    });
    return () => {
      clearTimeout(timer);
      end();
    };
  };

  private moves(change: Change): boolean {
    for (const { before, after } of change.services.values()) {
      const was = before !== undefined && matches(before, this.query, this.words);
      const is = after !== undefined && matches(after, this.query, this.words);
      if (was !== is) return true;
      if (was && is && before && after && keyOf(before, this.query.sort) !== keyOf(after, this.query.sort)) return true;
    }
    return false;
  }
}

export type Counts = Record<Group, number> & { total: number };

export const noCounts: Counts = { healthy: 0, suspect: 0, unhealthy: 0, progress: 0, stopped: 0, unknown: 0, total: 0 };

/** How many services are in which group, per kind and in all, kept by what changes. */
export class Tally {
  private all: Counts = noCounts;
  private perKind = new Map<Kind, Counts>();
  private perNode = new Map<string, number>();
  private changed = new Signal();

  constructor(live: Live) {
    for (const s of live.services().values()) this.add(s, 1);
    live.subscribe((change) => {
      let moved = change.nodes; // the first state may be empty, and still is news
      for (const { before, after } of change.services.values()) {
        if (before && after && before.node?.id === after.node?.id && statusOf(before).group === statusOf(after).group)
          continue;
        if (before) this.add(before, -1);
        if (after) this.add(after, 1);
        moved = true;
      }
      if (moved) this.changed.emit();
    });
  }

  private add(s: Service, n: 1 | -1) {
    const { group } = statusOf(s);
    const kind = this.perKind.get(s.kind) ?? noCounts;
    this.perKind.set(s.kind, { ...kind, [group]: kind[group] + n, total: kind.total + n });
    if (s.node) this.perNode.set(s.node.id, (this.perNode.get(s.node.id) ?? 0) + n);
    this.all = { ...this.all, [group]: this.all[group] + n, total: this.all.total + n };
  }

  get = (kind?: Kind): Counts => (kind ? (this.perKind.get(kind) ?? noCounts) : this.all);

  /** How many services are on a node. */
  onNode = (id: string): number => this.perNode.get(id) ?? 0;

  subscribe = this.changed.subscribe;
}
