import { useNavigate, useSearch } from "@tanstack/react-router";
import { useMemo } from "react";
import { cx } from "../../components/cx";
import type { Service } from "../../graphql/documents";
import { plural } from "../../lib/format";
import { dated, span, useTicking } from "../../lib/time";
import { type Group, groupNames, statusOf } from "../../model/status";
import { useEvents } from "../activity/events";
import { type Range, ranges } from "./search";
import { buckets, history, type Region } from "./timeline";

const hour = 3_600_000;
const lengths: Record<Range, number> = { "1h": hour, "24h": 24 * hour, "7d": 7 * 24 * hour };
const rangeNames: Record<Range, string> = { "1h": "last hour", "24h": "last 24 hours", "7d": "last 7 days" };
const bucketCount = 60;
const stepMs = 15_000; // between redraws

/** How healthy it was: a bar per minute for the last hour, merged stretches for longer ranges. */
export function HealthTimeline({ s }: { s: Service }) {
  const search = useSearch({ from: "/$list/$id" });
  const navigate = useNavigate();
  const range: Range = search.range ?? "1h";
  const now = Number(useTicking((n) => String(Math.ceil(n / stepMs) * stepMs)));
  const from = now - lengths[range];
  const { events, loading } = useEvents({ serviceId: s.id }, { size: 200, backTo: from });
  const past = useMemo(() => history(events, from, now), [events, from, now]);
  const words = past.healthy === null ? "no checks" : `${percent(past.healthy)} healthy`;
  const restarts = past.restarts > 0 ? `, ${plural(past.restarts, "restart")}` : "";
  return (
    <section aria-label="Health">
      <div className="mb-2 flex flex-wrap items-center gap-x-3 gap-y-1">
        <h3 className="font-medium">Health, {rangeNames[range]}</h3>
        <div className="ml-auto flex gap-0.5 rounded-md bg-sunken p-0.5" role="group" aria-label="Range">
          {ranges.map((r) => (
            <button
              key={r}
              type="button"
              aria-pressed={r === range}
              onClick={() =>
                void navigate({
                  to: ".",
                  search: (before: Record<string, unknown>) => ({ ...before, range: r === "1h" ? undefined : r }),
                  replace: true,
                })
              }
              className={cx(
                "min-h-6 rounded px-2 text-xs",
                r === range ? "bg-raised text-text shadow-sm ring-1 ring-line" : "text-muted hover:text-text",
              )}
            >
              {r}
            </button>
          ))}
        </div>
      </div>
      <div
        role="img"
        aria-label={loading && events.length === 0 ? "Loading" : `${words} in the ${rangeNames[range]}${restarts}`}
        className="relative h-9"
      >
        {range === "1h" ? (
          <Bars groups={buckets(past.regions, from, now, bucketCount)} from={from} />
        ) : (
          <Stretches regions={past.regions} from={from} to={now} />
        )}
      </div>
      <p className="mt-1.5 flex justify-between gap-4 text-xs text-muted">
        <span>{span(lengths[range])} ago</span>
        <span aria-hidden="true">
          {words}
          {restarts}
        </span>
        <span>now</span>
      </p>
      <p className="sr-only">Now {statusOf(s).word}</p>
    </section>
  );
}

function percent(share: number): string {
  if (share === 1) return "100 %";
  // Rounded down: 99.99 % with a failure in it is not 100 %.
  return `${(Math.floor(share * 1000) / 10).toFixed(1)} %`;
}

// Height and colour: worse is lower, so that colour is not needed.
const bars: Record<Group, string> = {
  healthy: "h-full bg-good",
  suspect: "h-[65%] bg-warn",
  unhealthy: "h-[40%] bg-bad",
  progress: "h-[80%] bg-busy",
  stopped: "h-[18%] bg-off",
  unknown: "h-[18%] border border-dashed border-off",
};

function Bars({ groups, from }: { groups: (Group | null)[]; from: number }) {
  return (
    <div className="flex h-full items-end gap-[3px]">
      {groups.map((group, i) => (
        <span
          // biome-ignore lint/suspicious/noArrayIndexKey: a bar is its place
          key={i}
          title={`${dated(from + i * 60_000)}: ${group ? groupNames[group] : "not there"}`}
          className={cx("min-w-0 flex-1 rounded-[2px]", group ? bars[group] : "h-[6%] bg-line")}
        />
      ))}
    </div>
  );
}

function Stretches({ regions, from, to }: { regions: Region[]; from: number; to: number }) {
  const place = (t: number) => ((t - from) / (to - from)) * 100;
  return (
    <div className="relative flex h-full items-end overflow-hidden rounded-[3px] bg-sunken">
      {regions.map((r) => (
        <span
          key={r.from}
          title={`${groupNames[r.group]} for ${span(r.to - r.from)}, from ${dated(r.from)}`}
          className={cx("absolute bottom-0 min-w-[2px]", bars[r.group])}
          style={{ left: `${place(r.from)}%`, width: `${place(r.to) - place(r.from)}%` }}
        />
      ))}
    </div>
  );
}
