import type { Service, UwsEvent } from "../graphql/documents";
import { statusOf } from "./status";

const signals: Record<number, string> = {
  1: "SIGHUP, its terminal went away",
  2: "SIGINT, an interrupt",
  3: "SIGQUIT",
  4: "SIGILL, an illegal instruction",
  6: "SIGABRT, it gave itself up",
  7: "SIGBUS, a bad memory access",
  8: "SIGFPE, an arithmetic error",
  9: "SIGKILL, it was killed",
  11: "SIGSEGV, it crashed",
  13: "SIGPIPE",
  15: "SIGTERM, a request to stop",
};

/** How an engine ended, in words; empty when nothing is known. */
export function exitWords(code: number | null | undefined, outOfMemory?: boolean | null): string {
  if (outOfMemory) return "Killed because the memory ran out";
  if (code === null || code === undefined) return "";
  if (code === 0) return "Ended by itself, without an error (exit code 0)";
  if (code > 128 && code < 160) {
    const signal = code - 128;
    return `Ended by signal ${signal}${signals[signal] ? ` (${signals[signal]})` : ""}`;
  }
  return `Ended with exit code ${code}`;
}

/** What an event says, in one or two words. */
export function headline(e: Pick<UwsEvent, "subject" | "phase" | "previousPhase" | "health" | "healthy">): string {
  if (e.subject === "NODE") return e.healthy ? "Node is back" : "Node unreachable";
  if (e.phase === null || e.phase === undefined) return "Removed";
  if (!e.previousPhase) return "Launched";
  if (e.phase === "STARTING" && isRestart(e)) return "Restarted";
  return statusOf({ phase: e.phase, health: e.health ?? "UNKNOWN" }).word;
}

/** Whether an event is an attempt to start what had failed: these are counted apart from other moves. */
export function isRestart(e: Pick<UwsEvent, "phase" | "previousPhase">): boolean {
  return e.phase === "STARTING" && (e.previousPhase === "RESTARTING" || e.previousPhase === "CRASH_LOOP");
}

/** A reason without the word that stands beside it anyway. */
export function because(reason: string): string {
  return sentence(reason.replace(/^(healthy: |crash loop, )/i, ""));
}

export function sentence(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

export function plural(n: number, one: string, many = `${one}s`): string {
  return `${n.toLocaleString("en")} ${n === 1 ? one : many}`;
}

/** What a service is held to; empty when that is nothing. */
export function limitWords(limits: NonNullable<Service["limits"]>): string {
  const { memoryMiB, cpus, pids } = limits;
  return [
    memoryMiB !== null && `${memoryMiB.toLocaleString("en")} MiB memory`,
    cpus !== null && plural(cpus, "processor"),
    pids !== null && plural(pids, "process", "processes"),
  ]
    .filter(Boolean)
    .join(", ");
}

const units = ["B", "KiB", "MiB", "GiB", "TiB"];

export function bytes(n: number): string {
  let unit = 0;
  while (n >= 1024 && unit < units.length - 1) {
    n /= 1024;
    unit++;
  }
  return `${n >= 100 || unit === 0 ? Math.round(n) : n.toFixed(1)} ${units[unit]}`;
}
