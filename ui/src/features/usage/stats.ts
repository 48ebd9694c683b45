import { bytes, count, named } from "../../lib/format";
import type { EngineStat } from "./documents";

/** A number that an engine reports of itself, as it is shown. */
export interface Gauge {
  name: string;
  value: string;
  of?: string;
  share?: number;
}

const shown = (s: EngineStat) => (s.unit === "BYTES" ? bytes(s.value) : count(s.value));

/** The numbers of an engine in their order; `x_used` and `x_max` are one gauge. */
export function gaugesOf(stats: readonly EngineStat[]): Gauge[] {
  const byName = new Map(stats.map((s) => [s.name, s]));
  return stats.flatMap((s) => {
    if (s.name.endsWith("_max") && byName.has(s.name.replace(/_max$/, "_used"))) return [];
    const max = s.name.endsWith("_used") ? byName.get(s.name.replace(/_used$/, "_max")) : undefined;
    if (!max || max.value <= 0) return [{ name: named(s.name.replace(/_bytes$/, "_size")), value: shown(s) }];
    return [
      {
        name: named(s.name.replace(/_used$/, "")),
        value: shown(s),
        of: `of ${shown(max)}`,
        share: s.value / max.value,
      },
    ];
  });
}
