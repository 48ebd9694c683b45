import { useCallback, useEffect, useMemo, useSyncExternalStore } from "react";
import type { Kind, Service } from "../graphql/documents";
import { live } from "../graphql/live";
import { socketState } from "../graphql/socket";
import { type Counts, type Query, Tally, View } from "./view";

export const tally = new Tally(live);

export function useService(id: string): Service | undefined {
  const subscribe = useCallback((listener: () => void) => live.subscribeRow(id, listener), [id]);
  return useSyncExternalStore(subscribe, () => live.service(id));
}

export function useServiceIds({ kind, group, nodeId, text, sort, descending }: Query, every = 0): string[] {
  const view = useMemo(
    () => new View(live, { kind, group, nodeId, text, sort, descending }, every),
    [kind, group, nodeId, text, sort, descending, every],
  );
  return useSyncExternalStore(view.subscribe, view.get);
}

export function useCounts(kind?: Kind): Counts {
  return useSyncExternalStore(tally.subscribe, () => tally.get(kind));
}

/** Whether there are no services at all. */
export function useEmpty(): boolean {
  return useSyncExternalStore(tally.subscribe, () => tally.get().total === 0);
}

/** How many services are on a node. */
export function useServicesOn(nodeId: string): number {
  return useSyncExternalStore(tally.subscribe, () => tally.onNode(nodeId));
}

export function useLoaded(): boolean {
  return useSyncExternalStore(tally.subscribe, live.loaded);
}

export const useNodes = () => useSyncExternalStore((l) => live.subscribeNodes(l), live.nodes);
export const useSocketState = () => useSyncExternalStore(socketState.subscribe, socketState.get);

const never = () => () => {};
export function useMedia(query: string): boolean {
  const list = useMemo(() => (typeof matchMedia === "function" ? matchMedia(query) : undefined), [query]);
  const subscribe = useCallback(
    (listener: () => void) => {
      list?.addEventListener("change", listener);
      return () => list?.removeEventListener("change", listener);
    },
    [list],
  );
  return useSyncExternalStore(list ? subscribe : never, () => list?.matches ?? false);
}

/** The page's title, led by the number of services that do not work. */
export function useTitle(title: string | undefined) {
  const unhealthy = useSyncExternalStore(tally.subscribe, () => tally.get().unhealthy);
  useEffect(() => {
    if (title) document.title = `${unhealthy > 0 ? `(${unhealthy}) ` : ""}${title} · UWS`;
  }, [title, unhealthy]);
}
