import { useCallback, useEffect, useState } from "react";
import { runUncached } from "../../graphql/client";
import { Signal } from "../../lib/store";
import { type Answer, useAnswer } from "../../model/answer";
import { reloadBackupStates } from "../../model/backups";
import {
  type Backup,
  type BackupFilter,
  BackupsOverview,
  PlacesAndPolicies,
  type Policy,
  type Restore,
  type ServiceBackup,
  ServiceBackups,
  type Target,
} from "./documents";
import { isUnderWay } from "./words";

const calm = 10_000; // ms between looks; the feed does not tell of backups
const busy = 2_000; // ms, while something is under way

const changed = new Signal();

/** Has everything about backups loaded again, since something was done. */
export function backupsChanged() {
  changed.emit();
  reloadBackupStates();
}

/** What `load` gives, again every now and then, and whenever something was done about backups. */
function useFresh<T>(load: () => Promise<T>, isBusy: (data: T) => boolean): Answer<T> {
  const [fast, setFast] = useState(false);
  const [answer] = useAnswer(load, fast ? busy : calm);
  const { data, reload } = answer;
  useEffect(() => changed.subscribe(reload), [reload]);
  useEffect(() => setFast(data !== undefined && isBusy(data)), [data, isBusy]);
  return answer;
}

export interface Places {
  targets: readonly Target[];
  policies: readonly Policy[];
}

export interface Lately extends Places {
  backups: readonly Backup[];
  more: boolean;
  restores: readonly Restore[];
}

export interface OfService extends Lately {
  /** Null if the service is gone. */
  status: ServiceBackup | null;
}

const anyUnderWay = (l: Lately) => l.backups.some(isUnderWay) || l.restores.some(isUnderWay);

/** The backups of a service, newest first, and what was made of them. */
export function useServiceBackups(id: string, first: number): Answer<OfService> {
  const load = useCallback(async (): Promise<OfService> => {
    const a = await runUncached(ServiceBackups, { id, first });
    const backups = a.backups.nodes;
    const ids = new Set(backups.map((b) => b.id));
    return {
      status: a.service?.backup ?? null,
      backups,
      more: a.backups.pageInfo.hasNextPage,
      restores: a.restores.nodes.filter((r) => ids.has(r.backupId)),
      targets: a.backupTargets,
      policies: a.backupPolicies,
    };
  }, [id, first]);
  return useFresh(load, anyUnderWay);
}

/** Backups and restores of all services, newest first. */
export function useLately(filter: BackupFilter, first: number): Answer<Lately> {
  const key = JSON.stringify(filter);
  const load = useCallback(async (): Promise<Lately> => {
    const a = await runUncached(BackupsOverview, { filter: JSON.parse(key), first });
    return {
      backups: a.backups.nodes,
      more: a.backups.pageInfo.hasNextPage,
      restores: a.restores.nodes,
      targets: a.backupTargets,
      policies: a.backupPolicies,
    };
  }, [key, first]);
  return useFresh(load, anyUnderWay);
}

const never = () => false;

/** Targets and policies. */
export function usePlaces(): Answer<Places> {
  const load = useCallback(async (): Promise<Places> => {
    const a = await runUncached(PlacesAndPolicies, {});
    return { targets: a.backupTargets, policies: a.backupPolicies };
  }, []);
  return useFresh(load, never);
}
