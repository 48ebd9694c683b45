import { Signal, useStore } from "./store";

const second = 1_000;
const minute = 60 * second;
const hour = 60 * minute;
const day = 24 * hour;

/** "12 s ago", "3 min ago", "2 h ago", "5 d ago". */
export function ago(then: number, now: number): string {
  const past = now - then;
  if (past < 5 * second) return "just now";
  return `${span(past)} ago`;
}

/** "12 s", "3 min", "2 h", "5 d": one unit, rounded down. */
export function span(ms: number): string {
  if (ms < minute) return `${Math.max(0, Math.floor(ms / second))} s`;
  if (ms < hour) return `${Math.floor(ms / minute)} min`;
  if (ms < 2 * day) return `${Math.floor(ms / hour)} h`;
  return `${Math.floor(ms / day)} d`;
}

/** "now" or "in 12 s". */
export function until(then: number, now: number): string {
  return then - now < second ? "now" : `in ${span(then - now)}`;
}

const full = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const short = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const dayAndTime = new Intl.DateTimeFormat(undefined, {
  month: "short",
  day: "numeric",
  hour: "2-digit",
  minute: "2-digit",
});

export const absolute = (then: number) => full.format(then);
export const clock = (then: number) => short.format(then);
const dayOnly = new Intl.DateTimeFormat(undefined, { month: "short", day: "numeric" });

/** "Nov 27". */
export const date = (then: number) => dayOnly.format(then);
export const dated = (then: number) => dayAndTime.format(then);

const withZone = new Intl.DateTimeFormat(undefined, {
  year: "numeric",
  month: "short",
  day: "numeric",
  hour: "2-digit",
  minute: "2-digit",
  timeZoneName: "short",
});

/** "Nov 27, 2026, 09:32 PM UTC". */
export const zoned = (then: number) => withZone.format(then);

// One timer for all times that are shown. It runs while somebody listens.
const ticks = new Signal();
let timer: ReturnType<typeof setInterval> | undefined;

const ticker = {
  subscribe(listener: () => void) {
    const end = ticks.subscribe(listener);
    timer ??= setInterval(ticks.emit, second);
    return () => {
      end();
      if (ticks.size > 0) return;
      clearInterval(timer);
      timer = undefined;
    };
  },
};

/** Returns a text that depends on the current time. The component renders again when the text changes. */
export function useTicking(text: (now: number) => string): string {
  return useStore(ticker, () => text(Date.now()));
}
