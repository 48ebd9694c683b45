import { useCallback, useEffect, useRef, useState } from "react";
import { run } from "../../graphql/client";
import { type EventFilter, EventsPage, type UwsEvent } from "../../graphql/documents";
import { live } from "../../graphql/live";
import { socketState } from "../../graphql/socket";
import { wordsOf } from "../../lib/errors";

const pageSize = 50;
const refreshAtMost = 700; // ms between two looks for new events

export interface Events {
  events: readonly UwsEvent[];
  loading: boolean;
  error: string;
  more: boolean;
  loadMore: () => void;
  retry: () => void;
}

/**
 * Events, newest first, with new ones on top as they happen. `concerns` says which service's changes are a reason to
 * look; all when left out.
 */
export function useEvents(
  filter: EventFilter,
  { size = pageSize, backTo }: { size?: number; backTo?: number } = {},
): Events {
  const key = JSON.stringify(filter);
  const [state, setState] = useState<{
    key: string;
    events: UwsEvent[];
    more: boolean;
    cursor: string | null;
    loading: boolean;
    error: string;
  }>({
    key,
    events: [],
    more: false,
    cursor: null,
    loading: true,
    error: "",
  });
  const latest = useRef(state);
  latest.current = state;

  const load = useCallback(
    async (after: string | null) => {
      const filter: EventFilter = JSON.parse(key);
      try {
        const { events: page } = await run(EventsPage, { filter, first: size, after });
        setState((before) => {
          const same = before.key === key;
          const known = same ? before.events : [];
          const { hasNextPage, endCursor } = page.pageInfo;
          if (after)
            return {
              ...before,
              events: [...known, ...page.nodes],
              more: hasNextPage,
              cursor: endCursor ?? null,
              loading: false,
              error: "",
            };
          const overlap = known.findIndex((e) => e.id === page.nodes.at(-1)?.id);
          if (overlap < 0 || !same) {
            return {
              key,
              events: [...page.nodes],
              more: hasNextPage,
              cursor: endCursor ?? null,
              loading: false,
              error: "",
            };
          }
          return { ...before, events: [...page.nodes, ...known.slice(overlap + 1)], loading: false, error: "" };
        });
      } catch (error) {
        setState((before) => ({ ...before, loading: false, error: wordsOf(error) }));
      }
    },
    [key, size],
  );

  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const soon = () => {
      timer ??= setTimeout(() => {
        timer = undefined;
        void load(null);
      }, refreshAtMost);
    };
    void load(null);
    const { serviceId } = JSON.parse(key) as EventFilter;
    const ends = [
      serviceId ? live.subscribeRow(serviceId, soon) : live.subscribe(soon),
      socketState.subscribe(() => socketState.get() === "live" && soon()),
    ];
    return () => {
      clearTimeout(timer);
      for (const end of ends) end();
    };
  }, [key, load]);

  // For a timeline: as many pages as it takes.
  const oldest = state.events.at(-1);
  const reaches = backTo === undefined || !oldest || Date.parse(oldest.at) <= backTo || state.events.length >= 5_000;
  useEffect(() => {
    if (!reaches && state.more && state.cursor && state.key === key) void load(state.cursor);
  }, [reaches, state.more, state.cursor, state.key, key, load]);

  const stale = state.key !== key;
  return {
    events: stale ? [] : state.events,
    loading: state.loading || stale,
    error: state.error,
    more: state.more,
    loadMore: () => {
      const { cursor } = latest.current;
      if (!cursor) return;
      setState((before) => ({ ...before, loading: true }));
      void load(cursor);
    },
    retry: () => {
      setState((before) => ({ ...before, loading: true, error: "" }));
      void load(null);
    },
  };
}

export interface Fold {
  event: UwsEvent;
  /** Events that followed from it, such as those of the services on a node that went away. */
  followers: UwsEvent[];
}

/** Puts events that have a cause in the same list under it. Order is kept. */
export function fold(events: readonly UwsEvent[]): Fold[] {
  const folds = new Map<string, Fold>();
  for (const event of events) folds.set(event.id, { event, followers: [] });
  const out: Fold[] = [];
  for (const event of events) {
    const cause = event.causeId ? folds.get(event.causeId) : undefined;
    if (cause && cause.event.subject === "NODE") cause.followers.push(event);
    else out.push(folds.get(event.id) as Fold);
  }
  return out;
}
