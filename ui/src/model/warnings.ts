import { useMemo } from "react";
import { runUncached } from "../graphql/client";
import { type Warning, Warnings } from "../graphql/documents";
import { live, same } from "../graphql/live";
import { socketState } from "../graphql/socket";
import { createStore, useStore } from "../lib/store";

const every = 30_000; // ms; the feed does not tell of warnings

/** What will need attention soon, by the id of the service or node. */
export interface Warned {
  byId: ReadonlyMap<string, readonly Warning[]>;
  services: readonly string[];
  nodes: readonly string[];
  /** Of all services with warnings, which may be more than are listed. */
  total: number;
}

const none: Warned = { byId: new Map(), services: [], nodes: [], total: 0 };
const store = createStore(none);
let timer: ReturnType<typeof setInterval> | undefined;
let followers = 0;
let ends = () => {};

async function load() {
  if (document.visibilityState === "hidden" && store.get() !== none) return;
  const answer = await runUncached(Warnings, {}).catch(() => undefined);
  if (!answer) return; // what was known stays
  const { nodes, totalCount } = answer.services;
  const machines = answer.nodes.filter((n) => n.warnings.length > 0);
  const before = store.get();
  const byId = new Map<string, readonly Warning[]>();
  for (const { id, warnings } of [...nodes, ...machines]) {
    const known = before.byId.get(id);
    byId.set(id, known && same(known, warnings) ? known : warnings);
  }
  store.set({ byId, services: nodes.map((s) => s.id), nodes: machines.map((n) => n.id), total: totalCount });
}

/** Asks for as long as somebody shows warnings. */
const followed = {
  get: store.get,
  subscribe(listener: () => void) {
    const end = store.subscribe(listener);
    if (followers++ === 0) {
      void load();
      timer = setInterval(load, every);
      ends = socketState.subscribe(() => socketState.get() === "live" && void load());
    }
    return () => {
      end();
      if (--followers > 0) return;
      clearInterval(timer);
      ends();
    };
  },
};

const noWarnings: readonly Warning[] = [];

/** The warnings of a service or node. */
export function useWarnings(id: string): readonly Warning[] {
  return useStore(followed, () => store.get().byId.get(id) ?? noWarnings);
}

/** All warnings. */
export function useWarned(): Warned {
  const warned = useStore(followed);
  return useMemo(() => {
    const services = warned.services.filter((id) => live.service(id));
    return { ...warned, services };
  }, [warned]);
}
