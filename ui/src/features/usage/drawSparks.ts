import type { Spark } from "./sparks";
import type { Values } from "./track";

/** A row of the list: what it shows, and its place on the canvas in px. */
export interface SparkRow {
  spark: Spark;
  top: number;
}

export interface Layout {
  /** Where the lines of a row begin, from the left of the canvas, in px. */
  cpu: number;
  memory: number;
  rowHeight: number;
}

export const sparkWidth = 56; // px
const sparkHeight = 22; // px
const leastCores = 0.05; // so that noise does not look like load

/** Draws the lines of all rows: one path for each metric, whatever the number of rows. */
export function drawSparks(
  ctx: CanvasRenderingContext2D,
  rows: readonly SparkRow[],
  { cpu, memory, rowHeight }: Layout,
  colour: (name: string) => string,
) {
  const inset = (rowHeight - sparkHeight) / 2;
  paint(ctx, colour("--accent"), (line, area) => {
    for (const { spark, top } of rows) {
      const values = spark.track?.columns.cpu ?? [];
      trace(values, Math.max(most(values), leastCores), cpu, top + inset, line, area);
    }
  });
  paint(ctx, colour("--good"), (line, area) => {
    for (const { spark, top } of rows) {
      const values = spark.track?.columns.memoryBytes ?? [];
      const limit = spark.now?.memoryLimitBytes ?? most(values) * 1.25;
      trace(values, Math.max(limit, most(values)), memory, top + inset, line, area);
    }
  });
}

function paint(ctx: CanvasRenderingContext2D, colour: string, trace: (line: Path2D, area: Path2D) => void) {
  const [line, area] = [new Path2D(), new Path2D()];
  trace(line, area);
  ctx.fillStyle = `${colour}22`;
  ctx.fill(area);
  ctx.strokeStyle = colour;
  ctx.lineWidth = 1.25;
  ctx.lineJoin = "round";
  ctx.stroke(line);
}

const most = (values: Values) => values.reduce((max: number, v) => Math.max(max, v ?? 0), 0);

/** Adds a line and the area below it. A gap in the values is one in both; a value alone is a short dash. */
function trace(values: Values, max: number, left: number, top: number, line: Path2D, area: Path2D) {
  const bottom = top + sparkHeight;
  const x = (i: number) => left + (i / Math.max(1, values.length - 1)) * sparkWidth;
  const y = (v: number) => bottom - (max > 0 ? v / max : 0) * (sparkHeight - 1);
  let begun = -1;
  const end = (last: number) => {
    if (begun < 0) return;
    if (last === begun) line.lineTo(x(last) + 1.5, y(values[last] ?? 0));
    area.lineTo(x(last), bottom);
    area.lineTo(x(begun), bottom);
    begun = -1;
  };
  for (let i = 0; i < values.length; i++) {
    const v = values[i] ?? null;
    if (v === null) end(i - 1);
    else if (begun < 0) {
      begun = i;
      line.moveTo(x(i), y(v));
      area.moveTo(x(i), y(v));
    } else {
      line.lineTo(x(i), y(v));
      area.lineTo(x(i), y(v));
    }
  }
  end(values.length - 1);
}
