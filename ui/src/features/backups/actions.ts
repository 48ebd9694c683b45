import { run } from "../../graphql/client";
import { toast } from "../../lib/toast";
import { backupsChanged } from "./data";
import { BackUp, CancelBackup, CancelRestore, PinBackup, ProveBackup, TestTarget } from "./documents";

/** Does something, has the lists loaded again, and tells if it failed. */
async function attempt(failed: string, work: () => Promise<unknown>) {
  try {
    await work();
  } catch (error) {
    toast.failed(failed, error);
  } finally {
    backupsChanged();
  }
}

export const backUp = (s: { id: string; name: string }, targetId: string | null) =>
  attempt(`${s.name} is not backed up`, () => run(BackUp, { id: s.id, targetId }));

export const cancelBackup = (id: string) => attempt("The backup was not cancelled", () => run(CancelBackup, { id }));

export const cancelRestore = (id: string) => attempt("The restore was not cancelled", () => run(CancelRestore, { id }));

export const pinBackup = (id: string, pinned: boolean) =>
  attempt(`The backup was not ${pinned ? "pinned" : "unpinned"}`, () => run(PinBackup, { id, pinned }));

export const proveBackup = (id: string) => attempt("The backup is not proven", () => run(ProveBackup, { id }));

export const testTarget = (id: string, name: string) =>
  attempt(`${name} could not be tested`, async () => {
    const { testBackupTarget: t } = await run(TestTarget, { id });
    if (t.reachable) toast.done(`${name} works`, "A file was written, read and deleted there.");
    else toast.failed(`${name} does not work`, t.reason);
  });
