import type { Service, UwsNode } from "./documents";

/** What the feed tells: the newest state of what changed. With `reset`, everything that is not in it is gone. */
export interface Delta {
  reset?: boolean;
  services?: readonly Service[];
  nodes?: readonly UwsNode[];
  goneServices?: readonly string[];
  goneNodes?: readonly string[];
}

/** What a delta changed, for those who keep something derived. */
export interface Change {
  services: ReadonlyMap<string, { before: Service | undefined; after: Service | undefined }>;
  nodes: boolean;
}

type Listener = () => void;

/**
 * The newest known state of all services and nodes. Rows are immutable, and keep their identity while nothing in them
 * changes. A row's listeners are called for that row alone: a list of thousands costs as much as what moves in it.
 */
export class Live {
  private rows = new Map<string, Service>();
  private machines = new Map<string, UwsNode>();
  private nodeList: readonly UwsNode[] = [];
  private ready = false;
  private byRow = new Map<string, Set<Listener>>();
  private onNodes = new Set<Listener>();
  private onChange = new Set<(change: Change) => void>();

  /** Whether a first state has arrived: until then "none" means "not known yet". */
  loaded = () => this.ready;
  service = (id: string) => this.rows.get(id);
  services = (): ReadonlyMap<string, Service> => this.rows;
  nodes = () => this.nodeList;
  node = (id: string) => this.machines.get(id);

  named(name: string): Service | undefined {
    for (const row of this.rows.values()) if (row.name === name) return row;
    return undefined;
  }

  apply(delta: Delta) {
    const changed = new Map<string, { before: Service | undefined; after: Service | undefined }>();
    const set = (id: string, after: Service | undefined) => {
      const before = this.rows.get(id);
      if (before === after || (before && after && same(before, after))) return;
      if (after) this.rows.set(id, after);
      else this.rows.delete(id);
      changed.set(id, { before, after });
    };
    if (delta.reset) {
      const stay = new Set(delta.services?.map((s) => s.id));
      for (const id of [...this.rows.keys()]) if (!stay.has(id)) set(id, undefined);
    }
    for (const row of delta.services ?? []) set(row.id, row);
    for (const id of delta.goneServices ?? []) set(id, undefined);

    const nodes = this.applyNodes(delta);
    const first = !this.ready;
    this.ready = true;
    if (changed.size === 0 && !nodes && !first) return;
    const change = { services: changed, nodes: nodes || first };
    for (const listener of this.onChange) listener(change);
    if (change.nodes) for (const listener of this.onNodes) listener();
    for (const id of changed.keys()) for (const listener of this.byRow.get(id) ?? []) listener();
  }

  private applyNodes(delta: Delta): boolean {
    let moved = false;
    if (delta.reset) {
      const stay = new Set(delta.nodes?.map((n) => n.id));
      for (const id of [...this.machines.keys()]) {
        if (!stay.has(id)) moved = this.machines.delete(id) || moved;
      }
    }
    for (const node of delta.nodes ?? []) {
      const before = this.machines.get(node.id);
      if (before && same(before, node)) continue;
      this.machines.set(node.id, node);
      moved = true;
    }
    for (const id of delta.goneNodes ?? []) moved = this.machines.delete(id) || moved;
    if (moved) {
      this.nodeList = [...this.machines.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
    }
    return moved;
  }

  subscribeRow(id: string, listener: Listener) {
    const set = this.byRow.get(id) ?? new Set();
    this.byRow.set(id, set);
    set.add(listener);
    return () => {
      set.delete(listener);
      if (set.size === 0 && this.byRow.get(id) === set) this.byRow.delete(id);
    };
  }

  subscribeNodes(listener: Listener) {
    this.onNodes.add(listener);
    return () => void this.onNodes.delete(listener);
  }

  /** Calls listener after every delta that changed something, before anything is painted. */
  subscribe(listener: (change: Change) => void) {
    this.onChange.add(listener);
    return () => void this.onChange.delete(listener);
  }
}

/** Whether two objects of JSON are equal. */
export function same(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (typeof a !== "object" || typeof b !== "object" || !a || !b) return false;
  const keys = Object.keys(a);
  if (keys.length !== Object.keys(b).length) return false;
  return keys.every((key) => same((a as Record<string, unknown>)[key], (b as Record<string, unknown>)[key]));
}

export const live = new Live();
