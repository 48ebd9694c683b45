import { useTicking, zoned } from "../../../lib/time";
import { isZone } from "../cron";
import { nextOf } from "../policy";

/** Returns a time as clocks of a zone show it. */
const inZone = (at: number, timeZone: string) =>
  new Intl.DateTimeFormat(undefined, {
    weekday: "long",
    month: "short",
    day: "numeric",
    hour: "2-digit",
    minute: "2-digit",
    timeZone,
    timeZoneName: "short",
  }).format(at);

/** The words of a schedule, and when it comes next. */
export function NextTime({ schedule, timeZone, words }: { schedule: string; timeZone: string; words: string }) {
  const next = useTicking((now) => {
    if (!isZone(timeZone)) return "";
    const at = nextOf({ schedule, timeZone }, now);
    if (at === undefined) return "";
    const here = zoned(at);
    const there = inZone(at, timeZone);
    const elsewhere = timeZone !== Intl.DateTimeFormat().resolvedOptions().timeZone;
    return `The next time is ${there}${elsewhere ? `, ${here} here` : ""}.`;
  });
  return (
    <p role="status" data-next className="text-[0.8125rem] text-muted">
      {next
        ? `${words === schedule ? "" : `${words.charAt(0).toUpperCase()}${words.slice(1)}. `}${next}`
        : "The next time is known when the policy is set."}
    </p>
  );
}
