import { bytes, cores, count, rate } from "./format";

/** What a value on a chart counts. */
export type Unit = "cores" | "bytes" | "rate" | "count";

const short: Record<Unit, (n: number) => string> = { cores, bytes, rate, count };

/** A value as on an axis: "0.5", "1.5 KiB". */
export const axisValue = (unit: Unit, n: number) => short[unit](n);

/** A value on its own: "0.5 cores", "1.5 KiB". */
export const amountOf = (unit: Unit, n: number) => (unit === "cores" ? plural1(cores(n)) : short[unit](n));

const plural1 = (n: string) => `${n} ${n === "1" ? "core" : "cores"}`;

const factors: Record<Unit, readonly number[]> = {
  cores: [1, 2, 5, 10, 20, 50, 100, 200, 500],
  count: [1, 2, 5, 10, 20, 50, 100, 200, 500],
  bytes: [1, 2, 4, 8, 16, 32, 64, 128, 256, 512],
  rate: [1, 2, 4, 8, 16, 32, 64, 128, 256, 512],
};

/** The values at which an axis from 0 has its lines: at most four, round in the unit, the last one at least `max`. */
export function axis(unit: Unit, max: number): number[] {
  const base = unit === "bytes" || unit === "rate" ? 1024 : 1000;
  const least = unit === "cores" ? 0.001 : 1;
  const want = Math.max(max, least) / 3;
  let scale = least;
  while (scale * base <= want) scale *= base;
  const step = scale * (factors[unit].find((f) => f * scale >= want) ?? base);
  const lines = Math.max(1, Math.ceil(max / step));
  return Array.from({ length: lines + 1 }, (_, i) => i * step);
}
