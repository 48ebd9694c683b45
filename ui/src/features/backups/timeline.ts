import type { Backup } from "./documents";
import { timeOf } from "./words";

/** A backup on the timeline: how far from its beginning, 0 to 1. */
export interface Spot {
  backup: Backup;
  at: number;
}

const shortest = 600_000; // ms that a timeline shows at least

/** Puts backups on a line that ends now, oldest first. Cancelled ones and those being deleted are left out. */
export function spotsOf(backups: readonly Backup[], now: number): { from: number; to: number; spots: Spot[] } {
  const shown = backups
    .filter((b) => b.state !== "CANCELLED" && b.state !== "DELETING")
    .sort((a, b) => timeOf(a) - timeOf(b));
  const [oldest] = shown;
  const from = Math.min(oldest ? timeOf(oldest) : now, now - shortest);
  const to = Math.max(now, from + shortest);
  return {
    from,
    to,
    spots: shown.map((backup) => ({ backup, at: Math.min(1, (timeOf(backup) - from) / (to - from)) })),
  };
}

/** The index of the spot that is nearest; -1 if there is none. */
export function nearest(spots: readonly Spot[], at: number): number {
  let best = -1;
  for (const [i, spot] of spots.entries()) {
    if (best < 0 || Math.abs(spot.at - at) <= Math.abs((spots[best] as Spot).at - at)) best = i;
  }
  return best;
}
