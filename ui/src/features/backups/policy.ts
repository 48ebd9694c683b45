import { run } from "../../graphql/client";
import { type Label, labelsIn, labelText } from "../../lib/labels";
import { numberProblem } from "../../lib/validate";
import type { Kind } from "../../model/kinds";
import { isZone, nextTime, parseCron, presets } from "./cron";
import { backupsChanged } from "./data";
import { type Policy, type PolicyInput, SetPolicy } from "./documents";

export const keepNames = ["last", "daily", "weekly", "monthly"] as const;
export type KeepName = (typeof keepNames)[number];

/** A policy as it stands in the form: numbers as they were typed. */
export interface PolicyValues {
  targetId: string;
  schedule: string;
  timeZone: string;
  keep: Record<KeepName, string>;
  proveEvery: string;
  pointInTime: boolean;
  finalBackup: boolean;
  paused: boolean;
  /** Of a default. */
  kinds: readonly Kind[];
  labels: string;
}

export const day = 24 * 3_600;

/** How often backups can be proven. */
export const proofs: readonly { label: string; seconds: number }[] = [
  { label: "Never", seconds: 0 },
  { label: "Every day", seconds: day },
  { label: "Every week", seconds: 7 * day },
  { label: "Every 30 days", seconds: 30 * day },
];

/** What the form begins with: the policy, or what the server would take. */
export function valuesOf(policy: Policy | undefined, targetId: string, zone: string): PolicyValues {
  if (!policy) {
    return {
      targetId,
      schedule: presets[2]?.schedule ?? "0 3 * * *",
      timeZone: zone,
      keep: { last: "3", daily: "7", weekly: "4", monthly: "6" },
      pointInTime: false,
      proveEvery: String(7 * day),
      finalBackup: true,
      paused: false,
      kinds: [],
      labels: "",
    };
  }
  const { keep } = policy;
  return {
    targetId: policy.targetId,
    schedule: policy.schedule,
    timeZone: policy.timeZone,
    keep: {
      last: String(keep.last),
      daily: String(keep.daily),
      weekly: String(keep.weekly),
      monthly: String(keep.monthly),
    },
    pointInTime: policy.pointInTime,
    proveEvery: String(policy.proveEvery),
    finalBackup: policy.finalBackup,
    paused: policy.paused,
    kinds: policy.kinds,
    labels: labelText(policy.labels),
  };
}

/** What is wrong with the form, by the server's names of the fields. */
export function policyProblems(v: PolicyValues): Record<string, string> {
  const keep = Object.fromEntries(
    keepNames.map((name) => [
      `keep.${name}`,
      v.keep[name].trim() === "" ? "Enter a number." : numberProblem(v.keep[name], 0, 1_000, true),
    ]),
  );
  const none = keepNames.every((name) => Number(v.keep[name]) === 0);
  return {
    targetId: v.targetId === "" ? "Choose a target." : "",
    schedule:
      v.schedule.trim().split(/\s+/).length === 5
        ? ""
        : "Enter five fields: minute, hour, day of month, month, day of week.",
    timeZone: isZone(v.timeZone) ? "" : "Enter a time zone, such as Europe/Berlin.",
    ...keep,
    keep: none ? "At least one backup must be kept." : "",
  };
}

/** When the schedule comes next; undefined if only the server can tell. */
export function nextOf(v: Pick<PolicyValues, "schedule" | "timeZone">, now: number): number | undefined {
  return parseCron(v.schedule) && nextTime(v.schedule, v.timeZone, now);
}

/** The input of the mutation. What the form does not have stays as it is in the policy. */
export function policyInput(
  v: PolicyValues,
  serviceId: string | undefined,
  policy?: Policy,
): Omit<Policy, "id" | "serviceCount"> {
  return {
    serviceId: serviceId ?? null,
    kinds: serviceId ? [] : [...v.kinds],
    labels: serviceId ? [] : labelsIn(v.labels),
    targetId: v.targetId,
    schedule: v.schedule.trim().replace(/\s+/g, " "),
    timeZone: v.timeZone.trim(),
    keep: {
      last: Number(v.keep.last),
      daily: Number(v.keep.daily),
      weekly: Number(v.keep.weekly),
      monthly: Number(v.keep.monthly),
    },
    pointInTime: v.pointInTime,
    proveEvery: Number(v.proveEvery),
    proveNodeId: policy?.proveNodeId ?? null,
    finalBackup: v.finalBackup,
    paused: v.paused,
  };
}

const labels = (all: readonly Label[]) => all.map(({ name, value }) => ({ name, value }));

/** Makes a policy, or replaces the one with an id. */
export async function setPolicy(id: string | null, p: Omit<Policy, "id" | "serviceCount">): Promise<number> {
  const {
    serviceId,
    kinds,
    targetId,
    schedule,
    timeZone,
    keep,
    pointInTime,
    proveEvery,
    proveNodeId,
    finalBackup,
    paused,
  } = p;
  const { last, daily, weekly, monthly } = keep;
  const input: PolicyInput = {
    ...{ serviceId, kinds: [...kinds], labels: labels(p.labels), targetId, schedule, timeZone },
    ...{ keep: { last, daily, weekly, monthly }, pointInTime, proveEvery, proveNodeId, finalBackup, paused },
  };
  const { setBackupPolicy } = await run(SetPolicy, { id, input });
  backupsChanged();
  return setBackupPolicy.serviceCount;
}
