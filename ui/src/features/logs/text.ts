import type { LogLevel, LogLine } from "./documents";

/** Returns a time with six digits after the point. */
function micros(at: string): string {
  const [, seconds, fraction = ""] = /^(.*?)(?:\.(\d+))?Z$/.exec(at) ?? [];
  return seconds ? `${seconds}.${fraction.padEnd(6, "0").slice(0, 6)}Z` : at;
}

/** Returns a line as the server writes it as text: time, stream, run and text. */
export const asText = (line: LogLine) =>
  `${micros(line.at)} ${line.stream.toLowerCase()} ${line.run ?? "-"} ${line.text}`;

export const levelWords: Record<LogLevel, string> = {
  DEBUG: "debug",
  INFO: "info",
  WARNING: "warn",
  ERROR: "error",
  FATAL: "fatal",
};

const two = (n: number) => String(n).padStart(2, "0");

/** The local time of day in parts, with leading zeros: "14:20:03" and ".123". */
export function timeOf(at: string): { clock: string; fraction: string } {
  const t = new Date(at);
  return {
    clock: `${two(t.getHours())}:${two(t.getMinutes())}:${two(t.getSeconds())}`,
    fraction: `.${String(t.getMilliseconds()).padStart(3, "0")}`,
  };
}

/** The local day as "11-27". */
export function dayOf(at: string): string {
  const t = new Date(at);
  return `${two(t.getMonth() + 1)}-${two(t.getDate())}`;
}
