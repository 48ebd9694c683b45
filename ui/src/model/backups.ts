import { runUncached } from "../graphql/client";
import { type BackupHealth, BackupStates, type BackupStatesPage } from "../graphql/documents";
import { same } from "../graphql/live";
import { useStore } from "../lib/store";
import { polled } from "./polled";
import type { Status } from "./status";

const every = 30_000; // ms; the feed does not tell how well services are backed up

type Row = BackupStatesPage["services"]["nodes"][number]["backup"];
type Target = BackupStatesPage["backupTargets"][number];

/** How well services are backed up, by their ids. */
export interface BackedUp {
  byId: ReadonlyMap<string, Row>;
  targets: readonly Target[];
  /** Ids of the services whose backups are late, fail or are not proven. */
  trouble: readonly string[];
}

const none: BackedUp = { byId: new Map(), targets: [], trouble: [] };

/** How each state is shown. */
export const backupStates: Record<BackupHealth, Status & { trouble: boolean }> = {
  NONE: { group: "unknown", word: "No backups", trouble: false },
  OK: { group: "healthy", word: "Backed up", trouble: false },
  UNPROVEN: { group: "suspect", word: "Backup unproven", trouble: true },
  LATE: { group: "suspect", word: "Backup late", trouble: true },
  FAILING: { group: "unhealthy", word: "Backup failing", trouble: true },
};

/** Puts pages of states together. Rows that did not change stay the same. */
export function collect(pages: readonly BackupStatesPage[], before: BackedUp = none): BackedUp {
  const byId = new Map<string, Row>();
  for (const { services } of pages) {
    for (const { id, backup } of services.nodes) {
      const known = before.byId.get(id);
      byId.set(id, known && same(known, backup) ? known : backup);
    }
  }
  const trouble = [...byId].filter(([, { state }]) => backupStates[state].trouble).map(([id]) => id);
  const targets = pages.at(-1)?.backupTargets ?? [];
  return {
    byId,
    targets: same(targets, before.targets) ? before.targets : targets,
    trouble: same(trouble, before.trouble) ? before.trouble : trouble,
  };
}

async function load(before: BackedUp): Promise<BackedUp> {
  const pages: BackupStatesPage[] = [];
  let after: string | null = null;
  do {
    const page: BackupStatesPage = await runUncached(BackupStates, { after });
    pages.push(page);
    after = page.services.pageInfo.hasNextPage ? (page.services.pageInfo.endCursor ?? null) : null;
  } while (after);
  return collect(pages, before);
}

const followed = polled(none, load, every);

/** Has the states loaded again, since something was done about backups. */
export const reloadBackupStates = followed.reload;

/** How well a service is backed up; undefined until that is known, and where there is no place for backups. */
export function useBackupState(id: string): Row | undefined {
  return useStore(followed, () => (followed.get().targets.length > 0 ? followed.get().byId.get(id) : undefined));
}

export const useBackedUp = () => useStore(followed);

/** Ids of the services whose backups need attention. */
export const useBackupTrouble = () => useStore(followed, () => followed.get().trouble);
