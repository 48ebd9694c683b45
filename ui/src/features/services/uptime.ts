import { graphql, type ResultOf, type VariablesOf } from "../../graphql/graphql";
import { percent } from "../../lib/format";
import { span } from "../../lib/time";
import type { Range } from "./search";

export const ServiceUptime = graphql(`
  query ServiceUptime($id: ID!, $range: UptimeRange!) {
    service(id: $id) {
      id
      uptime(range: $range) {
        from to share healthySeconds downSeconds plannedSeconds unknownSeconds
        buckets { from to share healthySeconds downSeconds plannedSeconds unknownSeconds }
      }
    }
  }
`);

export type UptimeRange = VariablesOf<typeof ServiceUptime>["range"];
export type Uptime = NonNullable<ResultOf<typeof ServiceUptime>["service"]>["uptime"];
export type Bucket = Uptime["buckets"][number];

export const uptimeRanges: Record<Exclude<Range, "1h">, UptimeRange> = {
  "24h": "DAY",
  "7d": "WEEK",
  "30d": "MONTH",
  "1y": "YEAR",
};

const mostBars = 60;

/** Puts neighbours together until there are at most 60: one bar for each few hours of a week, for each week of a year. */
export function barsOf(buckets: readonly Bucket[]): Bucket[] {
  const each = Math.ceil(buckets.length / mostBars);
  const bars: Bucket[] = [];
  // From the newest on, so that only the oldest bar has fewer.
  for (let end = buckets.length; end > 0; end -= each) bars.push(sum(buckets.slice(Math.max(0, end - each), end)));
  return bars.reverse();
}

function sum(parts: readonly Bucket[]): Bucket {
  const total = (key: "healthySeconds" | "downSeconds" | "plannedSeconds" | "unknownSeconds") =>
    parts.reduce((all, part) => all + part[key], 0);
  const [healthySeconds, downSeconds] = [total("healthySeconds"), total("downSeconds")];
  const known = healthySeconds + downSeconds;
  return {
    from: parts[0]?.from ?? "",
    to: parts.at(-1)?.to ?? "",
    share: known > 0 ? healthySeconds / known : null,
    healthySeconds,
    downSeconds,
    plannedSeconds: total("plannedSeconds"),
    unknownSeconds: total("unknownSeconds"),
  };
}

/** What a bar looks like: the worst that takes a noticeable part of it. */
export type BarLook = "none" | "healthy" | "down" | "planned" | "unknown";

export function lookOf(b: Bucket): BarLook {
  if (b.downSeconds >= 1) return "down";
  if (b.healthySeconds >= 1) return "healthy";
  if (b.plannedSeconds >= 1) return "planned";
  return b.unknownSeconds >= 1 ? "unknown" : "none";
}

/** "99.98 % healthy, 12 min down, 2 h stopped on purpose, 5 min unknown". */
export function wordsOf(b: Omit<Bucket, "from" | "to">): string {
  const part = (seconds: number, what: string) => seconds >= 1 && `${span(seconds * 1000)} ${what}`;
  const words = [
    b.share !== null && `${percent(b.share)} healthy`,
    part(b.downSeconds, "down"),
    part(b.plannedSeconds, "stopped on purpose"),
    part(b.unknownSeconds, "unknown"),
  ].filter(Boolean);
  return words.length > 0 ? words.join(", ") : "did not run yet";
}
