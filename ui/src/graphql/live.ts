import { Signal } from "../lib/store";
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

/**
 * The newest known state of all services and nodes. Rows are immutable, and keep their identity while nothing in them
 * changes. A row's listeners are called for that row alone: a list of thousands costs as much as what moves in it.
 */
export class Live {
  private rows = new Map<string, Service>();
  private machines = new Map<string, UwsNode>();
  private nodeList: readonly UwsNode[] = [];
  private ready = false;
  private byRow = new Map<string, Signal>();
  private nodesChanged = new Signal();
  private changed = new Signal<Change>();

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
    this.changed.emit(change);
    if (change.nodes) this.nodesChanged.emit();
    for (const id of changed.keys()) this.byRow.get(id)?.emit();
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

  subscribeRow(id: string, listener: () => void) {
    const row = this.byRow.get(id) ?? new Signal();
    this.byRow.set(id, row);
    const end = row.subscribe(listener);
    return () => {
      end();
      if (row.size === 0 && this.byRow.get(id) === row) this.byRow.delete(id);
    };
  }

  subscribeNodes = this.nodesChanged.subscribe;

  /** Calls listener after every delta that changed something, before anything is painted. */
  subscribe = this.changed.subscribe;
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
