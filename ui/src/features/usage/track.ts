export type Values = readonly (number | null)[];

/** What a measurement or a history can have. */
export type Field =
  | "cpu"
  | "memoryBytes"
  | "diskBytes"
  | "receivedBytesPerSecond"
  | "sentBytesPerSecond"
  | "connections";

/** Use over time in equal steps. It never changes: `append` returns another one. */
export interface Track<F extends Field = Field> {
  from: number; // seconds, when the first step begins
  step: number; // seconds
  columns: Readonly<Record<F, Values>>;
}

type History<F extends Field> = Record<F, (number | null)[]> & { from: string; stepSeconds: number };

/** Returns the columns of a history with these names. */
export function trackOf<F extends Field>(history: History<F>, fields: readonly F[]): Track<F> {
  return { from: Date.parse(history.from) / 1000, step: history.stepSeconds, columns: each(fields, (f) => history[f]) };
}

const each = <F extends Field>(fields: readonly F[], values: (field: F) => Values) =>
  Object.fromEntries(fields.map((f) => [f, values(f)])) as unknown as Record<F, Values>;

const fieldsOf = <F extends Field>(track: Track<F>) => Object.keys(track.columns) as F[];

export const lengthOf = (t: Track<"memoryBytes">) => t.columns.memoryBytes.length;
export const timesOf = (t: Track<"memoryBytes">) => Array.from({ length: lengthOf(t) }, (_, i) => t.from + i * t.step);

/** One measurement; what it does not have is null. */
export type Measured = { at: string } & { [F in Field]?: number | null };

/**
 * Returns the track with a measurement at its end. Steps in between stay empty, and as many as are added leave at the other end.
 * A measurement before the end of the track is in it already.
 */
export function append<F extends Field>(track: Track<F | "memoryBytes">, usage: Measured): Track<F | "memoryBytes"> {
  const length = lengthOf(track);
  if (track.step <= 0 || length === 0) return track;
  const index = Math.floor((Date.parse(usage.at) / 1000 - track.from) / track.step);
  if (index < length - 1) return track;
  const added = Math.min(index - length + 1, length);
  const from = track.from + (index - length + 1) * track.step;
  const columns = each(fieldsOf(track), (f) => {
    const column = track.columns[f].slice(added);
    for (let i = 0; i < added; i++) column.push(null);
    const value = usage[f] ?? null;
    if (value !== null) column[length - 1] = value;
    return column;
  });
  return { ...track, from, columns };
}

/** Reports whether anything was measured. */
export const hasValues = (values: Values) => values.some((v) => v !== null);
