import { type KeyboardEvent, type ReactNode, useId, useState } from "react";
import { cx } from "../../components/cx";
import { date, dated } from "../../lib/time";
import { type BarLook, type Bucket, barsOf, lookOf, type Uptime, wordsOf } from "./uptime";

const dayMs = 24 * 3_600_000;

/** One bar for each part of a range. The arrow keys go from one to the next. */
export function UptimeBars({ uptime, label }: { uptime: Uptime; label: string }) {
  const bars = barsOf(uptime.buckets);
  const [at, setAt] = useState<number>();
  const help = useId();
  const last = bars.length - 1;
  const shown = at === undefined ? undefined : bars[Math.min(at, last)];
  const onKeyDown = (event: KeyboardEvent) => {
    const to: Record<string, number> = {
      ArrowLeft: (at ?? bars.length) - 1,
      ArrowRight: (at ?? -1) + 1,
      Home: 0,
      End: last,
    };
    if (event.key === "Escape" && at !== undefined) setAt(undefined);
    else if (event.key in to) setAt(Math.max(0, Math.min(last, to[event.key] ?? 0)));
    else return;
    event.preventDefault();
  };
  return (
    <div
      role="slider"
      tabIndex={0}
      aria-label={label}
      aria-describedby={help}
      aria-valuemin={0}
      aria-valuemax={Math.max(0, last)}
      aria-valuenow={at ?? Math.max(0, last)}
      aria-valuetext={shown ? `${nameOf(shown)}: ${wordsOf(shown)}` : wordsOf(uptime)}
      onKeyDown={onKeyDown}
      onBlur={() => setAt(undefined)}
      onPointerLeave={() => setAt(undefined)}
      className="relative rounded-sm"
      data-uptime
    >
      <span id={help} className="sr-only">
        The arrow keys go through the bars.
      </span>
      <div className="flex h-9 items-stretch">
        {bars.map((bar, i) => (
          <span
            key={bar.from}
            onPointerEnter={() => setAt(i)}
            className="flex min-w-0 flex-1 items-end px-px"
            data-bar={lookOf(bar)}
          >
            <BarOf bar={bar} chosen={i === at} />
          </span>
        ))}
      </div>
      {shown && at !== undefined && (
        <Tip share={(at + 0.5) / bars.length}>
          <p className="font-medium">{nameOf(shown)}</p>
          {wordsOf(shown)
            .split(", ")
            .map((words) => (
              <p key={words} className="text-muted">
                {words}
              </p>
            ))}
        </Tip>
      )}
    </div>
  );
}

// Height and pattern differ too, so that colour is not needed.
const looks: Record<BarLook, string> = {
  healthy: "h-full bg-good",
  down: "h-full bg-good",
  planned: "h-[45%] border border-off",
  unknown: "h-[45%] border border-dashed border-off",
  none: "h-[8%] bg-line",
};

function BarOf({ bar, chosen }: { bar: Bucket; chosen: boolean }) {
  const look = lookOf(bar);
  return (
    <span
      className={cx(
        "relative block w-full overflow-hidden rounded-[2px]",
        looks[look],
        chosen && "outline-2 outline-offset-1 outline-accent",
      )}
    >
      {look === "down" && (
        <span
          className="striped absolute inset-x-0 bottom-0 border-t-2 border-surface"
          style={{ height: `${Math.max(30, (1 - (bar.share ?? 0)) * 100)}%` }}
        />
      )}
    </span>
  );
}

function Tip({ share, children }: { share: number; children: ReactNode }) {
  const right = share > 0.5;
  return (
    <div
      className="numbers pointer-events-none absolute top-full z-10 mt-1.5 max-w-60 rounded-md border border-line bg-raised px-2.5 py-1.5 text-xs shadow-float"
      style={right ? { right: `${(1 - share) * 100}%` } : { left: `${share * 100}%` }}
    >
      {children}
    </div>
  );
}

/** A day by its date, what is shorter by its beginning, what is longer by both. */
function nameOf({ from, to }: Bucket): string {
  const [begin, end] = [Date.parse(from), Date.parse(to)];
  if (end - begin > 1.5 * dayMs) return `${date(begin)} to ${date(end - 1)}`;
  return end - begin > dayMs / 2 ? date(begin) : dated(begin);
}
