import type { Service } from "../../graphql/documents";
import { plural } from "../../lib/format";

/** The limits of a service; empty if it has none. */
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

/** The settings of a health check. */
export function healthCheckWords(c: {
  intervalSeconds: number;
  timeoutSeconds: number;
  failureThreshold: number;
  graceSeconds: number;
}): string {
  return `every ${c.intervalSeconds} s, timeout ${c.timeoutSeconds} s, restarted after ${plural(c.failureThreshold, "failure")} in a row, ${c.graceSeconds} s to start`;
}

/** The result of the last write check. */
export function lastWriteWords({ verdict }: { verdict: "OK" | "ALIVE" | "DEAD" | "NOT_ASKED" }): string {
  if (verdict === "OK") return "last write succeeded";
  return verdict === "NOT_ASKED" ? "last write could not be checked" : "last write failed";
}
