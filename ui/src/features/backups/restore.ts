import { zoned } from "../../lib/time";
import { nameProblem } from "../../lib/validate";
import type { Backup, ServiceBackup } from "./documents";

const longest = 63;

type Restorable = Pick<ServiceBackup, "pointInTime" | "restorableFrom" | "restorableTo">;

/** Between which moments a service can be restored to any; undefined: only to those of its backups. */
export function windowOf(status: Restorable | null): { from: number; to: number } | undefined {
  if (!status?.pointInTime || !status.restorableFrom || !status.restorableTo) return undefined;
  return { from: Date.parse(status.restorableFrom), to: Date.parse(status.restorableTo) };
}

/** The newest backup, of those in the order of the list, that was over at a moment. */
export const backupBefore = (backups: readonly Backup[], at: number) =>
  backups.find((b) => b.finishedAt !== null && Date.parse(b.finishedAt) <= at);

/** What is wrong with a moment, as the browser's field has it; empty when nothing is. */
export function momentProblem(text: string, backups: readonly Backup[], window?: { from: number; to: number }): string {
  if (text === "" || !window) return "";
  const at = Date.parse(text);
  if (Number.isNaN(at)) return "Enter a date and a time.";
  if (at > window.to) return `The newest moment is ${zoned(window.to)}.`;
  return backupBefore(backups, at) ? "" : `The earliest moment is the end of a backup, from ${zoned(window.from)} on.`;
}

/** A free name for a service that is made of a backup: "shop-restored", "shop-restored-2". */
export function restoredName(of: string, taken: (name: string) => boolean): string {
  for (let n = 1; ; n++) {
    const end = n === 1 ? "-restored" : `-restored-${n}`;
    const name = of.slice(0, longest - end.length).replace(/-+$/, "") + end;
    if (!taken(name)) return name;
  }
}

/** What is wrong with the name, in words; empty when nothing is. */
export function restoreNameProblem(name: string, taken: (name: string) => boolean): string {
  return nameProblem(name) || (taken(name) ? `A service named ${name} already exists. Choose another name.` : "");
}
