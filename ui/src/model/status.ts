import type { Service } from "../graphql/documents";

/** What people filter by. */
export type Group = "healthy" | "suspect" | "unhealthy" | "progress" | "stopped" | "unknown";

export const groups: readonly Group[] = ["healthy", "suspect", "unhealthy", "progress", "stopped", "unknown"];

export const groupNames: Record<Group, string> = {
  healthy: "Healthy",
  suspect: "Suspect",
  unhealthy: "Unhealthy",
  progress: "In progress",
  stopped: "Stopped",
  unknown: "Unknown",
};

/** Worst first. */
export const severity: Record<Group, number> = {
  unhealthy: 0,
  suspect: 1,
  unknown: 2,
  progress: 3,
  stopped: 4,
  healthy: 5,
};

export interface Status {
  group: Group;
  word: string;
}

type State = Pick<Service, "phase" | "health"> & { lastHealthCheckAt?: string | null };

/** One word for phase and health together, and the group it belongs to. */
export function statusOf(s: State): Status {
  switch (s.phase) {
    case "PENDING":
      return { group: "progress", word: "Pending" };
    case "REMOVING":
      return { group: "progress", word: "Removing" };
    case "STOPPING":
      return { group: "progress", word: "Stopping" };
    case "STOPPED":
      return { group: "stopped", word: "Stopped" };
    case "FAILED":
      return { group: "unhealthy", word: "Failed" };
    case "CRASH_LOOP":
      return { group: "unhealthy", word: "Crash loop" };
    case "RESTARTING":
      return { group: "unhealthy", word: "Restarting" };
    case "STARTING":
    case "RUNNING":
      return ofHealth(s);
  }
}

function ofHealth(s: State): Status {
  switch (s.health) {
    case "HEALTHY":
      return { group: "healthy", word: "Healthy" };
    case "SUSPECT":
      return { group: "suspect", word: "Suspect" };
    case "UNHEALTHY":
      return { group: "unhealthy", word: "Unhealthy" };
    case "STARTING":
      return { group: "progress", word: "Starting" };
    case "UNKNOWN":
      return { group: "unknown", word: s.lastHealthCheckAt === null ? "No check yet" : "Unknown" };
  }
}
