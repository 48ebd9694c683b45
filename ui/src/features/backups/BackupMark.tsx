import { Shield, ShieldAlert, ShieldCheck } from "lucide-react";
import { cx } from "../../components/cx";
import { sentence } from "../../lib/format";
import { backupStates, useBackupState } from "../../model/backups";

/** How well a service is backed up, as a mark in a row: quiet unless it needs attention. */
export function BackupMark({ id }: { id: string }) {
  const backup = useBackupState(id);
  if (!backup) return null;
  const { group, word, trouble } = backupStates[backup.state];
  const Icon = trouble ? ShieldAlert : backup.state === "OK" ? ShieldCheck : Shield;
  return (
    <span
      title={`${word}: ${sentence(backup.reason)}`}
      data-backup-mark={backup.state}
      className={cx(
        "relative z-1 inline-flex shrink-0 items-center gap-1 text-xs",
        !trouble ? "text-muted" : group === "unhealthy" ? "font-medium text-bad-text" : "font-medium text-warn-text",
      )}
    >
      <Icon size={14} aria-hidden="true" />
      <span className={cx(!trouble && "sr-only")}>{word}</span>
    </span>
  );
}
