import type { UwsEvent } from "../../graphql/documents";
import { type Group, severity, statusOf } from "../../model/status";
import { isRestart } from "../activity/words";

/** A stretch of time, in ms of the clock, in which a service was in one group. */
export interface Region {
  from: number;
  to: number;
  group: Group;
}

export interface History {
  regions: Region[];
  restarts: number;
  /** Share of the time that is known and not stopped on purpose; null when there is none. */
  healthy: number | null;
}

type Move = Pick<UwsEvent, "at" | "phase" | "previousPhase" | "health" | "previousHealth">;

/**
 * What happened between from and to, by a service's events, newest first, which reach back at least to `from` or to its
 * launch. What lies before its first event is left out: nothing is known of it.
 */
export function history(events: readonly Move[], from: number, to: number): History {
  const regions: Region[] = [];
  let restarts = 0;
  let at = to;
  for (const e of events) {
    const start = Date.parse(e.at);
    if (e.phase && at > from) {
      const { group } = statusOf({ phase: e.phase, health: e.health ?? "UNKNOWN" });
      put(regions, { from: Math.max(start, from), to: at, group });
    }
    if (start >= from && start <= to && isRestart(e)) restarts++;
    at = Math.min(at, start);
    if (start <= from) break;
  }
  const oldest = events.at(-1);
  if (at > from && oldest?.previousPhase) {
    const group = statusOf({ phase: oldest.previousPhase, health: oldest.previousHealth ?? "UNKNOWN" }).group;
    put(regions, { from, to: at, group });
  }
  regions.reverse();
  return { regions, restarts, healthy: share(regions) };
}

/** Regions come newest first; equal neighbours are one. */
function put(regions: Region[], region: Region) {
  if (region.to <= region.from) return;
  const later = regions.at(-1);
  if (later && later.group === region.group) later.from = region.from;
  else regions.push(region);
}

function share(regions: Region[]): number | null {
  let good = 0;
  let all = 0;
  for (const r of regions) {
    if (r.group === "stopped" || r.group === "progress") continue;
    all += r.to - r.from;
    if (r.group === "healthy" || r.group === "suspect") good += r.to - r.from;
  }
  return all > 0 ? good / all : null;
}

/** The worst group in each of n equal stretches; null where nothing is known. */
export function buckets(regions: readonly Region[], from: number, to: number, n: number): (Group | null)[] {
  const width = (to - from) / n;
  return Array.from({ length: n }, (_, i) => {
    const start = from + i * width;
    let worst: Group | null = null;
    for (const r of regions) {
      if (r.to <= start || r.from >= start + width) continue;
      if (worst === null || severity[r.group] < severity[worst]) worst = r.group;
    }
    return worst;
  });
}
