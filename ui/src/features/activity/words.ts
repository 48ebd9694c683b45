import type { ReasonCode, UwsEvent } from "../../graphql/documents";
import { type Group, statusOf } from "../../model/status";

const signals: Record<number, string> = {
  1: "SIGHUP, its terminal closed",
  2: "SIGINT, an interrupt",
  3: "SIGQUIT",
  4: "SIGILL, an illegal instruction",
  6: "SIGABRT, it aborted",
  7: "SIGBUS, a bad memory access",
  8: "SIGFPE, an arithmetic error",
  9: "SIGKILL, it was killed",
  11: "SIGSEGV, it crashed",
  13: "SIGPIPE",
  15: "SIGTERM, a request to stop",
};

/** How an engine ended, in words; empty when nothing is known. */
export function exitWords(code: number | null | undefined, outOfMemory?: boolean | null): string {
  if (outOfMemory) return "Killed: out of memory";
  if (code === null || code === undefined) return "";
  if (code === 0) return "Exited without an error (exit code 0)";
  if (code > 128 && code < 160) {
    const signal = code - 128;
    return `Killed by signal ${signal}${signals[signal] ? ` (${signals[signal]})` : ""}`;
  }
  return `Exited with code ${code}`;
}

const nodeHeadlines: { [code in ReasonCode]?: string } = {
  NODE_READY: "Node ready",
  NODE_LOST: "Node unreachable",
  NODE_REFUSED: "Node not usable",
  NODE_BACK: "Node is back",
  NODE_DRAINING: "Node draining",
  NODE_UNDRAINED: "Node accepts services",
  NODE_REMOVED: "Node removed",
  ENGINE_RESTARTED: "Engine restarted",
  DISK_LOW: "Disk almost full",
  DISK_FULL: "Disk full",
  DISK_OK: "Disk has enough free space again",
};

/** What an event says, in one or two words. */
export function headline(
  e: Pick<UwsEvent, "subject" | "phase" | "previousPhase" | "health" | "healthy" | "reasonCode">,
): string {
  if (e.subject === "NODE") {
    // Events of older stores have no code.
    return (e.reasonCode && nodeHeadlines[e.reasonCode]) || (e.healthy ? "Node reachable" : "Node unreachable");
  }
  if (e.subject === "INSTALLATION") return e.reasonCode === "DATA_CLONED" ? "Cloned" : "Moved";
  if (e.phase === null || e.phase === undefined) return "Removed";
  if (!e.previousPhase) return "Launched";
  if (e.phase === "STARTING" && isRestart(e)) return "Restarted";
  return statusOf({ phase: e.phase, health: e.health ?? "UNKNOWN" }).word;
}

/** Whether an event is an attempt to start what had failed: these are counted apart from other moves. */
export function isRestart(e: Pick<UwsEvent, "phase" | "previousPhase">): boolean {
  return e.phase === "STARTING" && (e.previousPhase === "RESTARTING" || e.previousPhase === "CRASH_LOOP");
}

/** The group of what an event left behind. */
export function groupOf(e: Pick<UwsEvent, "subject" | "phase" | "health" | "healthy">): Group {
  if (e.subject === "INSTALLATION") return "healthy";
  if (e.subject === "NODE") return e.healthy ? "healthy" : "unhealthy";
  if (!e.phase) return "stopped";
  return statusOf({ phase: e.phase, health: e.health ?? "UNKNOWN" }).group;
}
