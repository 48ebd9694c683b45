import { useNavigate, useSearch } from "@tanstack/react-router";
import { useCallback, useMemo } from "react";
import { Choice } from "../../components/Choice";
import { cx } from "../../components/cx";
import { Loading } from "../../components/Empty";
import { runUncached } from "../../graphql/client";
import type { Service } from "../../graphql/documents";
import { percent, plural } from "../../lib/format";
import { dated, span, useTicking } from "../../lib/time";
import { useAnswer } from "../../model/answer";
import { type Group, groupNames, statusOf } from "../../model/status";
import { useEvents } from "../activity/events";
import { type Range, ranges } from "./search";
import { buckets, history } from "./timeline";
import { UptimeBars } from "./UptimeBars";
import { ServiceUptime, type UptimeRange, uptimeRanges, wordsOf } from "./uptime";

const hour = 3_600_000;
const day = 24 * hour;
const rangeNames: Record<Range, string> = {
  "1h": "last hour",
  "24h": "last 24 hours",
  "7d": "last 7 days",
  "30d": "last 30 days",
  "1y": "last year",
};
const lengths: Record<Range, number> = { "1h": hour, "24h": day, "7d": 7 * day, "30d": 30 * day, "1y": 365 * day };

/** How healthy a service was: of the last hour by its events, of longer ranges by its uptime. */
export function HealthTimeline({ s }: { s: Service }) {
  const search = useSearch({ from: "/$list/$id" });
  const navigate = useNavigate();
  // What was launched today has nothing to show of the days before.
  const isNew = useTicking((now) => String(now - Date.parse(s.createdAt) < day)) === "true";
  const range: Range = search.range ?? (isNew ? "1h" : "30d");
  return (
    <section aria-label="Health">
      <div className="mb-2 flex flex-wrap items-center gap-x-3 gap-y-1">
        <h3 className="font-medium">Health, {rangeNames[range]}</h3>
        <div className="ml-auto">
          <Choice
            label="Range"
            options={ranges}
            value={range}
            onChange={(next) =>
              void navigate({
                to: ".",
                search: (before: Record<string, unknown>) => ({ ...before, range: next }),
                replace: true,
              })
            }
          />
        </div>
      </div>
      {range === "1h" ? <LastHour s={s} /> : <Longer key={range} s={s} range={range} />}
      <p className="sr-only">Now {statusOf(s).word}</p>
    </section>
  );
}

/** What is below the bars: both ends and, between them, what they say together. */
function Ends({ range, children }: { range: Range; children: string }) {
  return (
    <p className="numbers mt-1.5 flex justify-between gap-4 text-xs text-muted">
      <span className="whitespace-nowrap">{span(lengths[range])} ago</span>
      <span className="text-center">{children}</span>
      <span>now</span>
    </p>
  );
}

function Longer({ s, range }: { s: Service; range: keyof typeof uptimeRanges }) {
  const { data, error } = useUptime(s.id, uptimeRanges[range]);
  if (!data) return error ? <p className="h-15 text-muted">{error}</p> : <Loading rows={1} className="h-15 px-0!" />;
  return (
    <>
      <UptimeBars uptime={data} label={`Health, ${rangeNames[range]}`} />
      <Ends range={range}>{wordsOf(data)}</Ends>
    </>
  );
}

function useUptime(id: string, range: UptimeRange) {
  const load = useCallback(async () => {
    const { service } = await runUncached(ServiceUptime, { id, range });
    if (!service) throw new Error("The service was removed.");
    return service.uptime;
  }, [id, range]);
  return useAnswer(load)[0];
}

const barCount = 60;
const stepMs = 15_000; // between redraws

/** A bar for each minute, and how often it was restarted. */
function LastHour({ s }: { s: Service }) {
  const now = Number(useTicking((n) => String(Math.ceil(n / stepMs) * stepMs)));
  const from = now - hour;
  const { events, loading } = useEvents({ serviceId: s.id }, { size: 200, backTo: from });
  const past = useMemo(() => history(events, from, now), [events, from, now]);
  const words = past.healthy === null ? "no checks" : `${percent(past.healthy)} healthy`;
  const restarts = past.restarts > 0 ? `, ${plural(past.restarts, "restart")}` : "";
  return (
    <>
      <div
        role="img"
        aria-label={loading && events.length === 0 ? "Loading" : `${words} in the last hour${restarts}`}
        className="flex h-9 items-end gap-[3px]"
      >
        {buckets(past.regions, from, now, barCount).map((group, i) => (
          <span
            // biome-ignore lint/suspicious/noArrayIndexKey: a bar is its place
            key={i}
            title={`${dated(from + i * 60_000)}: ${group ? groupNames[group] : "not there"}`}
            className={cx("min-w-0 flex-1 rounded-[2px]", group ? bars[group] : "h-[6%] bg-line")}
          />
        ))}
      </div>
      <Ends range="1h">{`${words}${restarts}`}</Ends>
    </>
  );
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
