import type { Kind } from "../../graphql/documents";
import type { Role } from "../../model/rights";
import type { AuditEntry } from "./documents";

/** Lifetimes of a token; 0 days means that it does not expire. */
export const lifetimes: readonly { days: number; label: string }[] = [
  { days: 0, label: "Never" },
  { days: 1, label: "In 1 day" },
  { days: 7, label: "In 7 days" },
  { days: 30, label: "In 30 days" },
  { days: 90, label: "In 90 days" },
  { days: 365, label: "In 1 year" },
];

export function endOf(days: number, now: number): string | undefined {
  return days > 0 ? new Date(now + days * 86_400_000).toISOString() : undefined;
}

export interface Rights {
  name: string;
  role: Role;
  kinds: readonly Kind[];
}

/** The input for a token or link. An ADMIN is never limited to kinds, whatever was chosen before. */
export function rightsInput({ name, role, kinds }: Rights) {
  return { name: name.trim(), role, ...(role !== "ADMIN" && kinds.length > 0 && { kinds: [...kinds] }) };
}

/** What is wrong with the name of a token or person, in words; empty when nothing is. */
export function labelProblem(name: string): string {
  const text = name.trim();
  if (text === "") return "Enter a name.";
  if ([...text].length > 100) return "Use at most 100 characters.";
  return "";
}

const browsers: readonly [RegExp, string][] = [
  [/\bEdg\/(\d+)/, "Edge"],
  [/\bOPR\/(\d+)/, "Opera"],
  [/\bFirefox\/(\d+)/, "Firefox"],
  [/\b(?:Headless)?Chrome\/(\d+)/, "Chrome"],
  [/\bVersion\/(\d+)[\d.]* (?:Mobile\/\w+ )?Safari\//, "Safari"],
];
const systems: readonly [RegExp, string][] = [
  [/Android/, "Android"],
  [/iPhone|iPad/, "iOS"],
  [/Windows/, "Windows"],
  [/Mac OS X|Macintosh/, "macOS"],
  [/CrOS/, "ChromeOS"],
  [/Linux/, "Linux"],
];

/** "Firefox 132 on Linux" for a browser's own words; those words where they are of another kind. */
export function browserOf(agent: string): string {
  for (const [pattern, name] of browsers) {
    const version = pattern.exec(agent)?.[1];
    if (!version) continue;
    const system = systems.find(([s]) => s.test(agent))?.[1];
    return `${name} ${version}${system ? ` on ${system}` : ""}`;
  }
  return agent.slice(0, 60) || "Unknown program";
}

/** What an audit line tells of, in words. An action that is not known here is shown by its own name. */
export const actionNames: Readonly<Record<string, string>> = {
  launchService: "Launch",
  removeService: "Remove",
  startService: "Start",
  stopService: "Stop",
  restartService: "Restart",
  setServiceLabels: "Change labels",
  checkServiceHealth: "Check",
  revealCredentials: "Reveal credentials",
  deleteRetainedData: "Delete retained data",
  registerNode: "Register node",
  updateNode: "Change node",
  removeNode: "Remove node",
  rotateCredentials: "Rotate credentials",
  swapServices: "Exchange services",
  moveService: "Move service",
  createBackupTarget: "Create backup target",
  updateBackupTarget: "Change backup target",
  testBackupTarget: "Test backup target",
  deleteBackupTarget: "Delete backup target",
  recoveryKit: "Take recovery kit",
  importBackupTarget: "Take over backup target",
  setBackupPolicy: "Set backup policy",
  deleteBackupPolicy: "Delete backup policy",
  backUpService: "Back up",
  cancelBackup: "Cancel backup",
  pinBackup: "Pin backup",
  deleteBackup: "Delete backup",
  restoreBackup: "Restore",
  backupObjects: "Read objects of backup",
  proveBackup: "Prove backup",
  endQuarantine: "End quarantine",
  cancelRestore: "Cancel restore",
  "serve --moved": "Move data folder",
  "serve --clone": "Clone data folder",
  createToken: "Create token",
  revokeToken: "Revoke token",
  createLoginLink: "Create login link",
  revokeSession: "End session",
  signIn: "Sign in",
  signOut: "Sign out",
  authenticate: "Use a credential",
  auditLog: "Read the audit log",
};

export const actionName = (action: string) => actionNames[action] ?? action;

const doors: Record<NonNullable<AuditEntry["door"]>, string> = {
  HTTP: "",
  WEBSOCKET: "over WebSocket",
  OLD_ENDPOINT: "over an old endpoint",
  COMMAND: "on the command line",
};

/** From where, and by which way. */
export function wayOf({ address, door }: Pick<AuditEntry, "address" | "door">): string {
  return [address, door && doors[door]].filter(Boolean).join(", ");
}

/** "role: VIEWER, kinds: DB, QUEUE" for a line's JSON; the text as it is where it is something else. */
export function detailWords(detail: string): string {
  if (!detail) return "";
  let parsed: unknown;
  try {
    parsed = JSON.parse(detail);
  } catch {
    return detail;
  }
  if (typeof parsed !== "object" || parsed === null || Array.isArray(parsed)) return detail;
  return Object.entries(parsed)
    .filter(([, value]) => value !== null && value !== "" && !(Array.isArray(value) && value.length === 0))
    .map(([name, value]) => `${name}: ${wordOf(value)}`)
    .join(", ");
}

function wordOf(value: unknown): string {
  if (Array.isArray(value) && value.every((v) => typeof v !== "object")) return value.join(", ");
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

/** What results may be filtered by. */
export const results = [
  "OK",
  "UNAUTHENTICATED",
  "FORBIDDEN",
  "NOT_FOUND",
  "CONFLICT",
  "INVALID_INPUT",
  "RATE_LIMITED",
  "INTERNAL",
] as const;
