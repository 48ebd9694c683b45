import type { LogLevel, LogLine } from "./documents";

/** Which lines are shown. All that is set must hold. */
export interface LogFilter {
  contains?: string | undefined;
  /** This level and more severe ones. */
  level?: LogLevel | undefined;
  run?: string | undefined;
}

export const levels: readonly LogLevel[] = ["DEBUG", "INFO", "WARNING", "ERROR", "FATAL"];

export const isFiltered = (f: LogFilter) => Boolean(f.contains || f.level || f.run);

/** Returns a function that selects lines by the same rules as the server. */
export function matcher({ contains, level, run }: LogFilter): (line: LogLine) => boolean {
  const needle = lower(contains ?? "");
  const least = level ? levels.indexOf(level) : -1;
  return (line) =>
    (!run || line.run === run) &&
    (least < 0 || (line.level !== null && levels.indexOf(line.level) >= least)) &&
    (needle === "" || lower(line.text).includes(needle));
}

/** Converts to lower case as the server does: each character to one character, whatever stands beside it. */
function lower(text: string): string {
  if (/^[\0-\x7f]*$/.test(text)) return text.toLowerCase();
  let out = "";
  for (const char of text) out += char === "İ" ? "i" : char.toLowerCase();
  return out;
}

const maxMarks = 100; // in one line; more would be slow to draw

/** Splits a text into parts: every second one, from index 1, is a match of `find` in upper or lower case. */
export function highlight(text: string, find: string | undefined): string[] {
  if (!find) return [text];
  const pattern = new RegExp(find.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&"), "giu");
  const parts: string[] = [];
  let from = 0;
  for (const match of text.matchAll(pattern)) {
    if (parts.length >= 2 * maxMarks) break;
    parts.push(text.slice(from, match.index), match[0]);
    from = match.index + match[0].length;
  }
  parts.push(text.slice(from));
  return parts;
}
