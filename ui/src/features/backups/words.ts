import { bytes, count, named, plural, rate } from "../../lib/format";
import { span, zoned } from "../../lib/time";
import type { Status } from "../../model/status";
import { scheduleWords } from "./cron";
import type { Amount, Backup, Policy, Progress, Proof, Restore, ServiceBackup, Target } from "./documents";

export const triggerWords: Record<Backup["trigger"], string> = {
  SCHEDULE: "scheduled",
  REQUEST: "requested",
  REMOVAL: "before removal",
  MOVE: "for a move",
};

export const stateOf: Record<Backup["state"], Status> = {
  QUEUED: { group: "progress", word: "Queued" },
  RUNNING: { group: "progress", word: "Running" },
  COMPLETE: { group: "healthy", word: "Complete" },
  FAILED: { group: "unhealthy", word: "Failed" },
  CANCELLED: { group: "stopped", word: "Cancelled" },
  DELETING: { group: "progress", word: "Deleting" },
};

export const restoreStateOf: Record<Restore["state"], Status> = {
  QUEUED: { group: "progress", word: "Queued" },
  COPYING: { group: "progress", word: "Copying" },
  STARTING: { group: "progress", word: "Starting" },
  LOADING: { group: "progress", word: "Loading" },
  CHECKING: { group: "progress", word: "Checking" },
  COMPLETE: { group: "healthy", word: "Complete" },
  FAILED: { group: "unhealthy", word: "Failed" },
  CANCELLED: { group: "stopped", word: "Cancelled" },
};

export const isUnderWay = (x: { state: string }) => !["COMPLETE", "FAILED", "CANCELLED", "DELETING"].includes(x.state);

/** When the data of a backup is from; when it was requested, before it was begun. */
export const timeOf = (b: Pick<Backup, "startedAt" | "createdAt">) => Date.parse(b.startedAt ?? b.createdAt);

/** What can be done about a state of backups. */
export function adviceFor(
  state: ServiceBackup["state"],
  hasTargets: boolean,
  may: { backUp: boolean; manage: boolean },
) {
  if (state === "OK") return "";
  if (!hasTargets) {
    return may.manage
      ? "There is no place for backups yet. Create a target first."
      : "There is no place for backups yet. Ask someone with the role ADMIN to create a target.";
  }
  if (!may.backUp) return "Ask someone with the role OPERATOR to look into it.";
  switch (state) {
    case "NONE":
      return "Set one up, or back the service up by hand.";
    case "UNPROVEN":
      return "Prove the newest backup now: the menu beside it has it. A proof needs a node with room for twice the size.";
    case "LATE":
      return "Back the service up now. A backup needs the service to be healthy or stopped.";
    case "FAILING":
      return "Remove the cause, then back the service up now. It is tried again by itself.";
  }
}

/** "4.2 s" below ten seconds, then as spans are shown. */
export const seconds = (s: number) => (s < 10 ? `${Number(s.toFixed(1))} s` : span(s * 1000));

const tookSeconds = (b: Backup) =>
  b.finishedAt ? Math.max(0, Date.parse(b.finishedAt) - Date.parse(b.startedAt ?? b.createdAt)) / 1000 : 0;

/** Size, duration and pause of a complete backup. */
export function sizeWords(b: Backup): string {
  const pause = b.pausedSeconds > 0 ? `, paused for ${seconds(b.pausedSeconds)}` : ", no pause";
  return `${bytes(b.bytes)}, ${bytes(b.storedBytes)} new, took ${seconds(tookSeconds(b))}${pause}`;
}

/** All that the timeline tells of a backup. */
export function timelineWords(b: Backup): string {
  const proof = b.provenAt ? "proven" : isRefuted(b) && "proof failed";
  const marks = [b.pinned && "pinned", proof].filter(Boolean).join(" and ");
  const state = b.state === "COMPLETE" ? sizeWords(b) : stateOf[b.state].word.toLowerCase();
  return [zoned(timeOf(b)), state, marks, triggerWords[b.trigger]].filter(Boolean).join(", ");
}

/** "12.0 MiB of 59.0 MiB, 30.1 MiB/s, 2 s left". */
export function progressWords(
  p: Pick<Progress, "bytes" | "totalBytes" | "bytesPerSecond" | "remainingSeconds">,
): string {
  const copied = p.totalBytes === null ? bytes(p.bytes) : `${bytes(p.bytes)} of ${bytes(p.totalBytes)}`;
  const parts = [p.bytes > 0 || p.totalBytes !== null ? copied : ""];
  if (p.bytesPerSecond > 0) parts.push(rate(p.bytesPerSecond));
  if (p.remainingSeconds !== null) parts.push(`${span(Math.ceil(p.remainingSeconds) * 1000)} left`);
  return parts.filter(Boolean).join(", ");
}

/** Whether a backup was found not to be whole. */
export const isRefuted = ({ proof }: Pick<Backup, "proof">) => proof !== null && !proof.proven && !proof.noRoom;

/** What a proof compared, and how long it took: "2 databases read, 14 tables read, in 4.2 s". */
export const proofWords = (p: Proof) =>
  [
    ...p.compared.map(({ what, count: n }) =>
      what.startsWith("bytes ") ? what.replace("bytes", bytes(n)) : `${count(n)} ${what}`,
    ),
    `in ${seconds(p.durationSeconds)}`,
  ].join(", ");

/** How far it is, in percent; undefined if that is not known. */
export const percentOf = (p: Pick<Progress, "bytes" | "totalBytes">) =>
  p.totalBytes ? Math.min(100, (100 * p.bytes) / p.totalBytes) : undefined;

/** What a restore will do. */
export function planWords(plan: {
  name: string;
  backup: Backup;
  at: number;
  node: string | undefined;
  rotate: boolean;
  quarantine: boolean;
}): string[] {
  const { name, backup, at, node, rotate, quarantine } = plan;
  return [
    `A new service ${name || "…"} will be made on ${node ? `node ${node}` : "a node that has room"} with ${bytes(backup.bytes)} of data as of ${zoned(at)}.`,
    `${backup.serviceName} is not touched.`,
    rotate ? "It gets new credentials once it works." : `It has the credentials that ${backup.serviceName} had then.`,
    ...(canAct(backup)
      ? [quarantine ? "It acts on others once you end its quarantine." : "It acts on others at once."]
      : []),
  ];
}

/** Reports whether the engine of a backup may do something by itself: subscriptions and jobs of databases, sources of streams. */
export const canAct = (b: Backup) => b.kind === "DB" || b.kind === "QUEUE";

/** Where a target is. */
export function placeOf(t: Target, serviceName: (id: string) => string | undefined): string {
  if (t.folder !== null) return `Folder ${t.folder}`;
  const bucket = [t.bucket, t.prefix].filter(Boolean).join("/");
  if (t.serviceId !== null) return `Bucket ${bucket} of ${serviceName(t.serviceId) ?? "a service that is gone"}`;
  return `Bucket ${bucket} at ${t.endpoint}`;
}

/** "the last 3, 7 daily, 4 weekly, 6 monthly". */
export function keepWords({ last, daily, weekly, monthly }: Policy["keep"]): string {
  const parts = [
    last > 0 && `the last ${last === 1 ? "one" : last}`,
    daily > 0 && `${daily} daily`,
    weekly > 0 && `${weekly} weekly`,
    monthly > 0 && `${monthly} monthly`,
  ].filter(Boolean);
  return parts.join(", ");
}

const hour = 3_600;
const day = 24 * hour;

/** How often backups are proven. */
export function proveWords(every: number): string {
  if (every === 0) return "never";
  if (every % (7 * day) === 0) return every === 7 * day ? "every week" : `every ${every / 7 / day} weeks`;
  if (every % day === 0) return every === day ? "every day" : `every ${every / day} days`;
  return every === hour ? "every hour" : `every ${Number((every / hour).toFixed(1))} hours`;
}

/** When a policy has backups taken. */
export const whenWords = (p: Pick<Policy, "schedule" | "timeZone">) => `${scheduleWords(p.schedule)} (${p.timeZone})`;

/** What a default policy is for. */
export function scopeWords(
  p: Pick<Policy, "kinds" | "labels">,
  kindName: (kind: Policy["kinds"][number]) => string,
): string {
  const kinds = p.kinds.length === 0 ? "all kinds" : p.kinds.map(kindName).join(", ");
  const labels = p.labels.map((l) => (l.value ? `${l.name}=${l.value}` : l.name)).join(", ");
  return labels ? `${kinds} with ${labels}` : kinds;
}

/** "about 1,204 rows", "1.5 MiB", "12 tables". */
export function amountWords({ name, value, estimate }: Amount): string {
  const about = estimate ? "about " : "";
  if (name === "bytes") return about + bytes(value);
  if (name.endsWith("_sequence")) return `${named(name).toLowerCase()} ${count(value)}`;
  const word = named(name).toLowerCase();
  return about + (word.endsWith("s") ? plural(value, word.slice(0, -1), word) : `${count(value)} ${word}`);
}
