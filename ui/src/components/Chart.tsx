import { type KeyboardEvent, type ReactNode, useId, useLayoutEffect, useRef, useState } from "react";
import type uPlot from "uplot";
import { useTheme } from "../lib/theme";
import { amountOf } from "../lib/units";
import { dataOf, type Plotted, plot, plotHeight, pointAt, scaleOf, type Values } from "./plot";
import { Mark } from "./Status";

interface Props extends Plotted {
  title: string;
  /** The time that is shown, such as "last hour". */
  span: string;
  /** Charts with the same key share a cursor. */
  sync: string;
  /** Of a time in seconds. */
  clock: (t: number) => string;
}

const reach = 5; // px around the cursor in which marks are told of

/** Values over time. The cursor follows the pointer or, with the focus, the arrow keys. */
export function Chart(props: Props) {
  const { title, span, unit, times, lines, limit, limitName, sync, clock } = props;
  const host = useRef<HTMLDivElement>(null);
  const drawn = useRef<uPlot>(undefined);
  const latest = useRef<Plotted>(props);
  latest.current = props;
  const [cursor, setCursor] = useState<{ index: number; left: number }>();
  const [active, setActive] = useState(false);
  const theme = useTheme();
  const names = lines.map((line) => line.label).join();

  // biome-ignore lint/correctness/useExhaustiveDependencies: drawn again when colours, lines or the unit change
  useLayoutEffect(() => {
    const element = host.current;
    if (!element) return;
    const u = plot(element, sync, element.clientWidth, {
      plotted: () => latest.current,
      moved: (index, left) => setCursor(index === null || left < 0 ? undefined : { index, left }),
    });
    drawn.current = u;
    const sizes = new ResizeObserver(() => {
      if (element.clientWidth !== u.width) u.setSize({ width: element.clientWidth, height: plotHeight });
    });
    sizes.observe(element);
    return () => {
      sizes.disconnect();
      u.destroy();
    };
  }, [theme, names, unit, sync]);
  // biome-ignore lint/correctness/useExhaustiveDependencies: drawn again when something that it shows is another
  useLayoutEffect(() => {
    drawn.current?.setData(dataOf(latest.current));
  }, [props.times, props.lines, props.limit, props.marks, props.from, props.to]);

  const summary = useId();
  const index = cursor && cursor.index < times.length ? cursor.index : undefined;
  const at = index === undefined ? undefined : times[index];
  const value = (values: Values, i: number) => {
    const v = values[i];
    return v === null || v === undefined ? "not measured" : amountOf(unit, v);
  };
  const read =
    at === undefined || index === undefined
      ? "Press the arrow keys to read values"
      : `${clock(at)}: ${lines.map((l) => `${lines.length > 1 ? `${l.label} ` : ""}${value(l.values, index)}`).join(", ")}`;
  const near = at === undefined ? [] : marksAt(props, at, drawn.current?.over.clientWidth ?? 0);

  const onKeyDown = (event: KeyboardEvent) => {
    const last = times.length - 1;
    const from = index ?? times.length;
    const by = event.shiftKey ? 10 : 1;
    const to: Record<string, number> = { ArrowLeft: from - by, ArrowRight: from + by, Home: 0, End: last };
    if (event.key === "Escape" && index !== undefined) pointAt(sync, null);
    else if (event.key in to) pointAt(sync, times[Math.max(0, Math.min(last, to[event.key] ?? 0))] ?? null);
    else return;
    event.preventDefault();
  };
  const leave = () => {
    setActive(false);
    pointAt(sync, null);
  };
  return (
    <section aria-label={title} data-chart={title}>
      <div className="flex flex-wrap items-baseline gap-x-3">
        <h3 className="font-medium">{title}</h3>
        {lines.length > 1 && <Legend lines={lines} />}
        <p id={summary} className="numbers ml-auto flex flex-wrap gap-x-3 text-xs text-muted" data-chart-summary>
          <Summary {...props} />
        </p>
      </div>
      <div
        role="slider"
        tabIndex={0}
        aria-label={`${title}, ${span}`}
        aria-describedby={summary}
        aria-valuemin={0}
        aria-valuemax={Math.max(0, times.length - 1)}
        aria-valuenow={index ?? Math.max(0, times.length - 1)}
        aria-valuetext={[read, ...near.map((m) => m.text)].join(". ")}
        onKeyDown={onKeyDown}
        onPointerEnter={() => setActive(true)}
        onPointerLeave={leave}
        onFocus={() => setActive(true)}
        onBlur={leave}
        className="relative mt-1 rounded-sm"
      >
        <div ref={host} style={{ height: plotHeight }} />
        {limit !== null && limit > (scaleOf(props).at(-1) ?? 0) && (
          <span className="pointer-events-none absolute top-0.5 right-2 rounded bg-surface px-1 text-[0.6875rem] text-warn-text">
            {limitName} {amountOf(unit, limit)} ↑
          </span>
        )}
        {active && cursor && index !== undefined && at !== undefined && (
          <Tip left={cursor.left} over={drawn.current?.over}>
            <p className="font-medium">{clock(at)}</p>
            {lines.map((line) => (
              <p key={line.label} className="flex justify-between gap-4">
                <span className="text-muted">{line.label}</span>
                <span>{value(line.values, index)}</span>
              </p>
            ))}
            {near.map((m) => (
              <p key={`${m.at} ${m.text}`} className="flex items-center gap-1.5">
                <Mark group={m.group} size={9} still />
                {m.text}
              </p>
            ))}
          </Tip>
        )}
      </div>
    </section>
  );
}

/** The marks close to a time, on a plot so many px wide. */
function marksAt({ marks, from, to, times }: Plotted, at: number, width: number) {
  const step = (times[1] ?? 0) - (times[0] ?? 0);
  const near = width > 0 ? ((to - from) / width) * reach : 0;
  return marks.filter((m) => m.at >= at - near && m.at <= at + Math.max(near, step)).slice(0, 5);
}

function Tip({ left, over, children }: { left: number; over: HTMLElement | undefined; children: ReactNode }) {
  const offset = over?.offsetLeft ?? 0;
  const right = left > (over?.clientWidth ?? 0) / 2;
  return (
    <div
      data-chart-tip
      className="numbers pointer-events-none absolute top-2 z-10 max-w-60 rounded-md border border-line bg-raised px-2.5 py-1.5 text-xs shadow-float"
      style={right ? { right: `calc(100% - ${offset + left - 10}px)` } : { left: offset + left + 10 }}
    >
      {children}
    </div>
  );
}

function Legend({ lines }: { lines: Plotted["lines"] }) {
  return (
    <p className="flex gap-3 text-xs text-muted">
      {lines.map((line, i) => (
        <span key={line.label} className="inline-flex items-center gap-1.5">
          <svg width="16" height="4" aria-hidden="true" className={i === 0 ? "text-accent" : "text-good"}>
            <path d="M0 2H16" stroke="currentColor" strokeWidth="2" strokeDasharray={i === 0 ? undefined : "5 3"} />
          </svg>
          {line.label}
        </span>
      ))}
    </p>
  );
}

/** The newest, smallest and largest value of each line. */
function Summary({ lines, unit }: Plotted) {
  return lines.map((line) => {
    const known = line.values.filter((v) => v !== null);
    const last = known.at(-1);
    if (last === undefined) return null;
    const [min, max] = known.reduce(([low, high], v) => [Math.min(low, v), Math.max(high, v)], [last, last]);
    return (
      <span key={line.label} className="whitespace-nowrap">
        {lines.length > 1 && `${line.label} `}
        <strong className="font-semibold text-text">{amountOf(unit, last)}</strong>, min {amountOf(unit, min)}, max{" "}
        {amountOf(unit, max)}
      </span>
    );
  });
}
