// Schedules of backups: cron expressions of five fields in a time zone, as the server reads them.

/** A parsed expression: the values of each field that match. */
interface Cron {
  minutes: number[];
  hours: number[];
  days: ReadonlySet<number>;
  months: ReadonlySet<number>;
  weekdays: ReadonlySet<number>;
  /** Whether a day matches if its date or its weekday does, as cron has it where both are given. */
  either: boolean;
}

const monthNames = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const weekdayNames = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

const number = (text: string, names: readonly string[], base: number) => {
  const at = names.indexOf(text.toLowerCase());
  if (at >= 0) return at + base;
  return /^\d+$/.test(text) ? Number(text) : undefined;
};

/** The values of one field in order; undefined if it is not understood. */
function field(text: string, min: number, max: number, names: readonly string[] = []): number[] | undefined {
  const found = new Set<number>();
  for (const part of text.split(",")) {
    const [, range = "", step] = /^([^/]+)(?:\/(\d+))?$/.exec(part) ?? [];
    const every = step === undefined ? 1 : Number(step);
    const [low = "", high] = range.split("-");
    const all = range === "*" || range === "?";
    const first = all ? min : number(low, names, min);
    const last = all || (high === undefined && step !== undefined) ? max : number(high ?? low, names, min);
    if (first === undefined || last === undefined || first < min || last > max || first > last || every < 1) return;
    for (let n = first; n <= last; n += every) found.add(n);
  }
  return [...found].sort((a, b) => a - b);
}

/** Returns what an expression says; undefined if it is none, or one that only the server understands. */
export function parseCron(expression: string): Cron | undefined {
  const parts = expression.trim().split(/\s+/);
  const [minute = "", hour = "", day = "", month = "", weekday = ""] = parts;
  if (parts.length !== 5) return;
  const minutes = field(minute, 0, 59);
  const hours = field(hour, 0, 23);
  const days = field(day, 1, 31);
  const months = field(month, 1, 12, monthNames);
  const weekdays = field(weekday, 0, 7, weekdayNames);
  if (!minutes || !hours || !days || !months || !weekdays) return;
  const either = !/^[*?]/.test(day) && !/^[*?]/.test(weekday);
  return {
    minutes,
    hours,
    days: new Set(days),
    months: new Set(months),
    weekdays: new Set(weekdays.map((d) => d % 7)),
    either,
  };
}

/** Reports whether the browser knows a time zone. */
export function isZone(zone: string): boolean {
  try {
    new Intl.DateTimeFormat("en", { timeZone: zone });
    return zone !== "";
  } catch {
    return false;
  }
}

export const browserZone = () => Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";

/** The time zones that the browser knows. */
export const zones = (): readonly string[] => ["UTC", ...Intl.supportedValuesOf("timeZone").filter((z) => z !== "UTC")];

/** Converts between moments and what clocks of a zone show then, which is given as the moment when clocks in UTC show it. */
class Clock {
  private readonly format: Intl.DateTimeFormat;
  constructor(zone: string) {
    this.format = new Intl.DateTimeFormat("en", {
      timeZone: zone,
      hourCycle: "h23",
      year: "numeric",
      month: "numeric",
      day: "numeric",
      hour: "numeric",
      minute: "numeric",
      second: "numeric",
    });
  }

  wall(at: number): number {
    const parts = Object.fromEntries(this.format.formatToParts(at).map((p) => [p.type, Number(p.value)]));
    const { year = 0, month = 1, day = 1, hour = 0, minute = 0, second = 0 } = parts;
    return Date.UTC(year, month - 1, day, hour, minute, second);
  }

  /** The first moment at which clocks show it; where they skip it, the moment after that is as long after the gap. */
  moment(wall: number): number {
    const day = 86_400_000;
    const offset = (at: number) => this.wall(at) - at;
    const before = wall - offset(wall - day);
    const after = wall - offset(wall + day);
    const shown = [before, after].filter((at) => this.wall(at) === wall);
    return shown.length > 0 ? Math.min(...shown) : before;
  }
}

const longest = 366 * 5; // days that are looked through

/** The first time of a schedule after a moment; undefined if it is not understood or never comes. */
export function nextTime(expression: string, zone: string, after: number): number | undefined {
  const cron = parseCron(expression);
  if (!cron || !isZone(zone)) return;
  const clock = new Clock(zone);
  const today = Math.floor(clock.wall(after) / 86_400_000);
  for (let d = today; d < today + longest; d++) {
    const date = new Date(d * 86_400_000);
    if (!cron.months.has(date.getUTCMonth() + 1)) continue;
    const byDate = cron.days.has(date.getUTCDate());
    const byWeekday = cron.weekdays.has(date.getUTCDay());
    if (cron.either ? !byDate && !byWeekday : !byDate || !byWeekday) continue;
    for (const hour of cron.hours) {
      for (const minute of cron.minutes) {
        const wall = date.getTime() + (hour * 60 + minute) * 60_000;
        if (d === today && wall + 7_200_000 < clock.wall(after)) continue; // long past: not worth converting
        const at = clock.moment(wall);
        if (at > after) return at;
      }
    }
  }
  return;
}

/** Schedules to choose from. */
export const presets: readonly { label: string; schedule: string }[] = [
  { label: "Every hour", schedule: "0 * * * *" },
  { label: "Every 6 hours", schedule: "0 */6 * * *" },
  { label: "Every day at 03:00", schedule: "0 3 * * *" },
  { label: "Every Sunday at 03:00", schedule: "0 3 * * 0" },
  { label: "On the first of each month at 03:00", schedule: "0 3 1 * *" },
];

const weekdays = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const two = (n: string) => n.padStart(2, "0");

/** "every day at 03:00"; the expression itself where it has no simple words. */
export function scheduleWords(expression: string): string {
  const [minute = "", hour = "", day = "", month = "", weekday = ""] = expression.trim().split(/\s+/);
  const plain = (text: string) => /^\d+$/.test(text);
  const every = /^\*\/(\d+)$/.exec(hour)?.[1];
  if (plain(minute) && month === "*") {
    const time = `at ${two(hour)}:${two(minute)}`;
    if (day === "*" && weekday === "*") {
      if (hour === "*") return minute === "0" ? "every hour" : `every hour at minute ${minute}`;
      if (every) return minute === "0" ? `every ${every} hours` : `every ${every} hours at minute ${minute}`;
      if (plain(hour)) return `every day ${time}`;
    }
    if (plain(hour) && day === "*" && /^[0-7]$/.test(weekday)) return `every ${weekdays[Number(weekday) % 7]} ${time}`;
    if (plain(hour) && plain(day) && weekday === "*") return `on day ${day} of each month ${time}`;
  }
  return expression;
}
