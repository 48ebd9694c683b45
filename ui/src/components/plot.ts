import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { axis, axisValue, type Unit } from "../lib/units";
import type { Group } from "../model/status";

export type Values = readonly (number | null)[];

/** One line of a chart. */
export interface Line {
  label: string;
  values: Values;
}

/** Something that happened, as a vertical line on a chart. */
export interface ChartMark {
  at: number; // seconds
  group: Group;
  text: string;
}

/** What a chart shows. */
export interface Plotted {
  unit: Unit;
  times: readonly number[]; // seconds, when each step begins
  from: number;
  to: number;
  lines: readonly Line[];
  limit: number | null;
  limitName: string;
  marks: readonly ChartMark[];
}

/** The lines of a chart differ in colour, and the second one is dashed. */
export const looks = [
  { colour: "--accent", dash: [] },
  { colour: "--good", dash: [5, 3] },
] as const;

export const plotHeight = 132;

/** Returns the top of the scale: the limit is in it unless the values would be too small to see beside it. */
export function scaleOf({ unit, lines, limit }: Pick<Plotted, "unit" | "lines" | "limit">): number[] {
  let most = 0;
  for (const line of lines) for (const v of line.values) if (v !== null && v > most) most = v;
  const shown = limit !== null && limit <= Math.max(most * 5, 1e-9);
  return axis(unit, shown ? Math.max(most, limit) : most);
}

interface Hooks {
  plotted: () => Plotted;
  moved: (index: number | null, left: number) => void;
}

/** Draws a chart into an element, in the colours of the present theme. Charts with the same key share a cursor. */
export function plot(host: HTMLElement, key: string, width: number, { plotted, moved }: Hooks): uPlot {
  const style = getComputedStyle(document.documentElement);
  const colour = (name: string) => style.getPropertyValue(name).trim();
  const font = `11px ${getComputedStyle(document.body).fontFamily}`;
  const muted = colour("--muted");
  const grid = { stroke: colour("--line"), width: 1 };
  const ticks = () => scaleOf(plotted());
  const options: uPlot.Options = {
    width,
    height: plotHeight,
    legend: { show: false },
    padding: [10, 8, 0, 0],
    cursor: { y: false, drag: { x: false, y: false }, sync: { key, scales: ["x", null] }, points: { size: 7 } },
    scales: {
      x: { time: true, range: () => [plotted().from, plotted().to] },
      y: { range: () => [0, ticks().at(-1) ?? 1] },
    },
    axes: [
      {
        stroke: muted,
        font,
        size: 24,
        gap: 4,
        grid: { show: false },
        ticks: { stroke: grid.stroke, width: 1, size: 4 },
        space: 64,
        values: (_, at, __, ___, every) => at.map((t) => timeLabel(t, every)),
      },
      {
        stroke: muted,
        font,
        size: 62,
        gap: 6,
        grid,
        ticks: { show: false },
        splits: ticks,
        values: (_, at) => at.map((v) => axisValue(plotted().unit, v)),
      },
    ],
    series: [
      {},
      ...plotted().lines.map((line, i): uPlot.Series => {
        const look = looks[i % looks.length] ?? looks[0];
        const stroke = colour(look.colour);
        return {
          label: line.label,
          stroke,
          width: 1.5,
          dash: [...look.dash],
          fill: i === 0 ? `${stroke}1c` : undefined,
          points: { show: true, size: 4, fill: stroke, filter: (u, series) => lonely(u.data[series] ?? []) },
        } as uPlot.Series;
      }),
    ],
    hooks: {
      drawAxes: [(u) => drawMarks(u, plotted().marks, colour)],
      draw: [(u) => drawLimit(u, plotted(), colour, font)],
      setCursor: [(u) => moved(u.cursor.idx ?? null, u.cursor.left ?? -1)],
    },
  };
  return new uPlot(options, dataOf(plotted()), host);
}

export const dataOf = ({ times, lines }: Plotted) =>
  [times, ...lines.map((line) => line.values)] as unknown as uPlot.AlignedData;

/** Shows the cursor of all charts with the same key at a time; hides it without one. */
export function pointAt(key: string, time: number | null) {
  for (const u of uPlot.sync(key).plots as readonly uPlot[]) {
    u.setCursor(time === null ? { left: -10, top: -10 } : { left: u.valToPos(time, "x"), top: 8 });
  }
}

/** The values that no line leads to: they are drawn as points. */
function lonely(values: uPlot.AlignedData[number]): number[] {
  const out: number[] = [];
  for (let i = 0; i < values.length; i++) {
    if (values[i] != null && values[i - 1] == null && values[i + 1] == null) out.push(i);
  }
  return out;
}

const day = new Intl.DateTimeFormat(undefined, { month: "short", day: "numeric" });
const minutes = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });

/** A time on the axis: midnight, and all where the steps are days, is a date. */
function timeLabel(t: number, every: number): string {
  const date = new Date(t * 1000);
  const midnight = date.getHours() === 0 && date.getMinutes() === 0;
  return every >= 86_400 || midnight ? day.format(date) : minutes.format(date);
}

const markColours: Record<Group, string> = {
  healthy: "--good",
  suspect: "--warn",
  unhealthy: "--bad",
  progress: "--busy",
  stopped: "--off",
  unknown: "--off",
};

function drawMarks(u: uPlot, marks: readonly ChartMark[], colour: (name: string) => string) {
  const { ctx, bbox } = u;
  const dpr = devicePixelRatio;
  ctx.save();
  ctx.lineWidth = dpr;
  for (const { at, group } of marks) {
    const x = Math.round(u.valToPos(at, "x", true));
    if (x < bbox.left || x > bbox.left + bbox.width) continue;
    ctx.strokeStyle = ctx.fillStyle = colour(markColours[group]);
    ctx.setLineDash([2 * dpr, 3 * dpr]);
    ctx.beginPath();
    ctx.moveTo(x, bbox.top);
    ctx.lineTo(x, bbox.top + bbox.height);
    ctx.stroke();
    ctx.setLineDash([]);
    drawShape(ctx, group, x, bbox.top - 4 * dpr, 3 * dpr);
  }
  ctx.restore();
}

/** The same shapes as everywhere: a square for what failed, a disc for what is healthy, a ring for what is under way. */
function drawShape(ctx: CanvasRenderingContext2D, group: Group, x: number, y: number, r: number) {
  ctx.beginPath();
  switch (group) {
    case "healthy":
    case "progress":
    case "unknown":
      ctx.arc(x, y, r, 0, 2 * Math.PI);
      break;
    case "suspect":
      ctx.moveTo(x, y - r - 1);
      ctx.lineTo(x + r + 1, y);
      ctx.lineTo(x, y + r + 1);
      ctx.lineTo(x - r - 1, y);
      break;
    case "unhealthy":
    case "stopped":
      ctx.rect(x - r, y - r, 2 * r, 2 * r);
  }
  ctx.closePath();
  if (group === "healthy" || group === "suspect" || group === "unhealthy") ctx.fill();
  else ctx.stroke();
}

function drawLimit(u: uPlot, { limit, limitName }: Plotted, colour: (name: string) => string, font: string) {
  const top = u.scales.y?.max ?? 0;
  if (limit === null || limit > top) return;
  const { ctx, bbox } = u;
  const dpr = devicePixelRatio;
  const y = Math.round(u.valToPos(limit, "y", true));
  ctx.save();
  ctx.strokeStyle = ctx.fillStyle = colour("--warn-text");
  ctx.lineWidth = 1.5 * dpr;
  ctx.setLineDash([6 * dpr, 4 * dpr]);
  ctx.beginPath();
  ctx.moveTo(bbox.left, y);
  ctx.lineTo(bbox.left + bbox.width, y);
  ctx.stroke();
  ctx.font = font.replace(/^\d+/, (size) => String(Number(size) * dpr));
  ctx.textAlign = "right";
  const below = y - bbox.top < 16 * dpr;
  ctx.textBaseline = below ? "top" : "bottom";
  ctx.fillText(limitName, bbox.left + bbox.width - 4 * dpr, y + (below ? 3 : -2) * dpr);
  ctx.restore();
}
