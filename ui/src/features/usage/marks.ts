import type { ChartMark } from "../../components/plot";
import type { UwsEvent } from "../../graphql/documents";
import { groupOf, headline, isRestart } from "../activity/words";

type Event = Pick<
  UwsEvent,
  "at" | "subject" | "phase" | "previousPhase" | "health" | "healthy" | "reasonCode" | "exitCode" | "outOfMemory"
>;

const most = 200; // on a chart

/** The events that explain a curve, oldest first: starts, stops and failures. What only follows from them is left out. */
export function marksOf(events: readonly Event[], from: number, to: number): ChartMark[] {
  const marks: ChartMark[] = [];
  for (const e of events) {
    const at = Date.parse(e.at) / 1000;
    if (at < from) break;
    if (at > to || !explains(e)) continue;
    marks.push({ at, group: groupOf(e), text: e.outOfMemory ? `${headline(e)}: out of memory` : headline(e) });
    if (marks.length === most) break;
  }
  return marks.reverse();
}

function explains(e: Event): boolean {
  const group = groupOf(e);
  if (group === "unhealthy" || group === "suspect" || group === "stopped") return true;
  return !e.previousPhase || isRestart(e) || (e.phase === "STARTING" && e.previousPhase === "STOPPED");
}
