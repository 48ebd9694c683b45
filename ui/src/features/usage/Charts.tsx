import { useId, useMemo } from "react";
import { Chart } from "../../components/Chart";
import type { ChartMark, Line } from "../../components/plot";
import type { Unit } from "../../lib/units";
import { rangeNames, type UseRange } from "./search";
import { type Field, hasValues, lengthOf, type Track, timesOf } from "./track";

/** What there is at most of each thing; null or left out without a limit. */
export type Limits = { [F in Field]?: number | null };

interface Props {
  track: Track;
  range: UseRange;
  limits: Limits;
  /** What the limits are called. */
  limitName: string;
  marks: readonly ChartMark[];
  /** In seconds: when there was nothing to measure before it, the charts begin there. */
  since?: number | undefined;
}

const leastShown = 300; // seconds

interface Panel {
  title: string;
  unit: Unit;
  lines: [Field, string][];
}

const panels: Panel[] = [
  { title: "CPU", unit: "cores", lines: [["cpu", "Used"]] },
  { title: "Memory", unit: "bytes", lines: [["memoryBytes", "Used"]] },
  { title: "Disk", unit: "bytes", lines: [["diskBytes", "Used"]] },
  {
    title: "Network",
    unit: "rate",
    lines: [
      ["receivedBytesPerSecond", "Received"],
      ["sentBytesPerSecond", "Sent"],
    ],
  },
  { title: "Connections", unit: "count", lines: [["connections", "Open"]] },
];

// As on the axis: the hours of a day go to 24.
const time = { hour: "2-digit", minute: "2-digit", hourCycle: "h23" } as const;
const ofTheHour = new Intl.DateTimeFormat(undefined, { ...time, second: "2-digit" });
const ofDays = new Intl.DateTimeFormat(undefined, { ...time, month: "short", day: "numeric" });

/** A chart for each thing that was measured. They share the axis of time and the cursor. */
export function Charts({ track, range, limits, limitName, marks, since = 0 }: Props) {
  const sync = useId();
  const times = useMemo(() => timesOf(track), [track]);
  const drawn = useMemo(
    () =>
      panels
        .map((panel) => ({
          ...panel,
          lines: panel.lines.map(([field, label]): Line => ({ label, values: track.columns[field] })),
          limit: limitOf(panel, limits),
        }))
        .filter((panel) => panel.lines.some((line) => hasValues(line.values))),
    [track, limits],
  );
  const to = track.from + lengthOf(track) * track.step;
  const from = Math.max(track.from, Math.min(since, to - leastShown));
  return (
    <div className="space-y-6">
      {drawn.map(({ title, unit, lines, limit }) => (
        <Chart
          key={title}
          title={title}
          span={rangeNames[range]}
          unit={unit}
          times={times}
          from={from}
          to={to}
          lines={lines}
          limit={limit}
          limitName={limitName}
          marks={marks}
          sync={sync}
          clock={(t) => (range === "1h" ? ofTheHour : ofDays).format(t * 1000)}
        />
      ))}
    </div>
  );
}

function limitOf({ lines }: Panel, limits: Limits): number | null {
  const field = lines[0]?.[0];
  return (field && limits[field]) ?? null;
}
