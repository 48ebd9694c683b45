import type { ServiceUsage, UsageHistory } from "./documents";

const fields = [
  "cpu",
  "memoryBytes",
  "diskBytes",
  "receivedBytesPerSecond",
  "sentBytesPerSecond",
  "connections",
] as const;
export type Field = (typeof fields)[number];
export type Values = readonly (number | null)[];

/** Use over time in equal steps. It never changes: `append` returns another one. */
export interface Track {
  from: number; // seconds, when the first step begins
  step: number; // seconds
  columns: Record<Field, Values>;
}

const eachField = (values: (field: Field) => Values) =>
  Object.fromEntries(fields.map((f) => [f, values(f)])) as unknown as Record<Field, Values>;

export function trackOf(history: Omit<UsageHistory, "id" | "to">): Track {
  return { from: Date.parse(history.from) / 1000, step: history.stepSeconds, columns: eachField((f) => history[f]) };
}

export const lengthOf = (t: Track) => t.columns.memoryBytes.length;
export const timesOf = (t: Track) => Array.from({ length: lengthOf(t) }, (_, i) => t.from + i * t.step);

/**
 * Returns the track with a measurement at its end. Steps in between stay empty, and as many as are added leave at the other end.
 * A measurement before the end of the track is in it already.
 */
export function append(track: Track, usage: ServiceUsage): Track {
  const length = lengthOf(track);
  if (track.step <= 0 || length === 0) return track;
  const index = Math.floor((Date.parse(usage.at) / 1000 - track.from) / track.step);
  if (index < length - 1) return track;
  const added = Math.min(index - length + 1, length);
  const from = track.from + (index - length + 1) * track.step;
  const columns = eachField((f) => {
    const column = track.columns[f].slice(added);
    for (let i = 0; i < added; i++) column.push(null);
    const value = f === "connections" ? null : usage[f];
    if (value !== null) column[length - 1] = value;
    return column;
  });
  return { ...track, from, columns };
}

/** Reports whether anything was measured. */
export const hasValues = (values: Values) => values.some((v) => v !== null);
