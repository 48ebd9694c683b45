import { useEffect, useMemo } from "react";
import type { Kind, Service } from "../graphql/documents";
import { live } from "../graphql/live";
import { socketState } from "../graphql/socket";
import { useStore } from "../lib/store";
import { type Counts, type Query, Tally, View } from "./view";

export const tally = new Tally(live);

export function useService(id: string): Service | undefined {
  const row = useMemo(
    () => ({ get: () => live.service(id), subscribe: (listener: () => void) => live.subscribeRow(id, listener) }),
    [id],
  );
  return useStore(row);
}

export function useServiceIds({ kind, group, nodeId, text, sort, descending }: Query, every = 0): string[] {
  const view = useMemo(
    () => new View(live, { kind, group, nodeId, text, sort, descending }, every),
    [kind, group, nodeId, text, sort, descending, every],
  );
  return useStore(view);
}

export function useCounts(kind?: Kind): Counts {
  return useStore(tally, () => tally.get(kind));
}

/** Whether there are no services at all. */
export function useEmpty(): boolean {
  return useStore(tally, () => tally.get().total === 0);
}

/** How many services are on a node. */
export function useServicesOn(nodeId: string): number {
  return useStore(tally, () => tally.onNode(nodeId));
}

export function useLoaded(): boolean {
  return useStore(tally, live.loaded);
}

const nodes = { get: live.nodes, subscribe: live.subscribeNodes };
export const useNodes = () => useStore(nodes);
export const useSocketState = () => useStore(socketState);

/** The page's title, led by the number of services that do not work. */
export function useTitle(title: string | undefined) {
  const unhealthy = useStore(tally, () => tally.get().unhealthy);
  useEffect(() => {
    if (title) document.title = `${unhealthy > 0 ? `(${unhealthy}) ` : ""}${title} · UWS`;
  }, [title, unhealthy]);
}
