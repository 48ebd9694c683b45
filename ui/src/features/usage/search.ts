import type { UsageRange } from "./documents";

/** Ranges of a chart, as they stand in the address. */
export const useRanges = ["1h", "24h", "7d", "30d"] as const;
export type UseRange = (typeof useRanges)[number];

export const rangeNames: Record<UseRange, string> = {
  "1h": "last hour",
  "24h": "last 24 hours",
  "7d": "last 7 days",
  "30d": "last 30 days",
};

/** What the server calls a range, and how many points of it are asked for: no more than a chart has pixels. */
export const rangeOf: Record<UseRange, { range: UsageRange; points: number }> = {
  "1h": { range: "HOUR", points: 360 },
  "24h": { range: "DAY", points: 480 },
  "7d": { range: "WEEK", points: 672 },
  "30d": { range: "MONTH", points: 720 },
};
