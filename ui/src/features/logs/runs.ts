import type { LogLine } from "./documents";

/** A run of a service, and when the oldest of its lines that was seen was written. */
export interface Run {
  id: string;
  from: string;
}

/** Runs holds the runs of the lines that were seen, newest first. The list is replaced when it changes. */
export class Runs {
  list: readonly Run[] = [];

  see(lines: readonly Pick<LogLine, "run" | "at">[]) {
    let last: string | null = null;
    for (const { run, at } of lines) {
      if (!run) continue;
      const known = this.list.find((r) => r.id === run);
      if (known && (run === last || Date.parse(known.from) <= Date.parse(at))) continue;
      last = run;
      const others = known ? this.list.filter((r) => r !== known) : this.list;
      this.list = [...others, { id: run, from: at }].sort((a, b) => Date.parse(b.from) - Date.parse(a.from));
    }
  }
}
