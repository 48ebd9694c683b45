import { useMemo } from "react";
import { runUncached } from "../graphql/client";
import { type Warning, Warnings } from "../graphql/documents";
import { live, same } from "../graphql/live";
import { useStore } from "../lib/store";
import { polled } from "./polled";

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

async function load(before: Warned): Promise<Warned> {
  const answer = await runUncached(Warnings, {});
  const { nodes, totalCount } = answer.services;
  const machines = answer.nodes.filter((n) => n.warnings.length > 0);
  const byId = new Map<string, readonly Warning[]>();
  for (const { id, warnings } of [...nodes, ...machines]) {
    const known = before.byId.get(id);
    byId.set(id, known && same(known, warnings) ? known : warnings);
  }
  return { byId, services: nodes.map((s) => s.id), nodes: machines.map((n) => n.id), total: totalCount };
}

const followed = polled(none, load, every);

const noWarnings: readonly Warning[] = [];

/** The warnings of a service or node. */
export function useWarnings(id: string): readonly Warning[] {
  return useStore(followed, () => followed.get().byId.get(id) ?? noWarnings);
}

/** All warnings. */
export function useWarned(): Warned {
  const warned = useStore(followed);
  return useMemo(() => {
    const services = warned.services.filter((id) => live.service(id));
    return { ...warned, services };
  }, [warned]);
}
