import type { LaunchStep, Service } from "../../graphql/documents";

/** Steps of a launch, in order. */
export const steps = ["Placing", "Fetching", "Starting", "Probing", "Healthy"] as const;

const launchSteps: readonly LaunchStep[] = ["PLACING", "FETCHING", "STARTING", "PROBING"];

/** Returns the index into `steps` of the current step of a launch; -1 if the service is not being launched. */
export function stepOf(s: Pick<Service, "phase" | "health" | "progress">): number {
  if (s.phase === "PENDING" || s.phase === "STARTING") return launchSteps.indexOf(s.progress?.stepCode ?? "PLACING");
  if (s.phase === "RUNNING" && s.health === "HEALTHY") return 4;
  return -1;
}
