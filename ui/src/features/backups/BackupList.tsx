import { Link } from "@tanstack/react-router";
import { FolderTree, Pin, PinOff, RotateCcw, ShieldCheck, Trash2 } from "lucide-react";
import type { ReactNode } from "react";
import { Button } from "../../components/Button";
import { cx } from "../../components/cx";
import { type MenuItem, MoreMenu } from "../../components/Menu";
import { StatusText } from "../../components/Status";
import { sentence } from "../../lib/format";
import { zoned } from "../../lib/time";
import { dialogs } from "../../model/dialogs";
import { useService } from "../../model/hooks";
import { kindNames, pathOf } from "../../model/kinds";
import { can } from "../../model/session";
import { cancelBackup, pinBackup, proveBackup } from "./actions";
import type { Backup, Target } from "./documents";
import { Running } from "./Running";
import { isRefuted, isUnderWay, sizeWords, stateOf, timeOf, triggerWords } from "./words";

interface Props {
  backups: readonly Backup[];
  targets: readonly Target[];
  /** Whether each row names its service. */
  named?: boolean;
  /** The one that is chosen on the timeline. */
  chosen?: string | undefined;
  label: string;
}

/** Backups, newest first, with what can be done with each. */
export function BackupList({ backups, targets, named = false, chosen, label }: Props) {
  return (
    <ul aria-label={label} className="divide-y divide-line rounded-lg border border-line bg-surface">
      {backups.map((b) =>
        isUnderWay(b) && named ? (
          <li key={b.id} className="p-2">
            <Running id={b.id} title={`Backup of ${b.serviceName}`} cancel={() => void cancelBackup(b.id)} />
          </li>
        ) : (
          <Row
            key={b.id}
            b={b}
            target={targets.find((t) => t.id === b.targetId)?.name}
            named={named}
            chosen={b.id === chosen}
          />
        ),
      )}
    </ul>
  );
}

function Row({ b, target, named, chosen }: { b: Backup; target: string | undefined; named: boolean; chosen: boolean }) {
  const { group, word } = stateOf[b.state];
  const complete = b.state === "COMPLETE";
  const at = zoned(timeOf(b));
  return (
    <li
      data-backup={b.id}
      aria-current={chosen ? "true" : undefined}
      className={cx(
        "flex flex-wrap items-center gap-x-3 gap-y-2 px-3.5 py-2.5",
        chosen && "bg-accent-soft shadow-[inset_3px_0_0_var(--accent)]",
      )}
    >
      <div className="min-w-52 flex-1">
        <p className="flex flex-wrap items-center gap-x-3 gap-y-0.5">
          {named && <ServiceName b={b} />}
          <time dateTime={b.startedAt ?? b.createdAt} className={cx(!named && "font-medium")}>
            {at}
          </time>
          {!complete && <StatusText group={group} word={word} className="text-[0.8125rem]" />}
          {b.provenAt && <Badge icon={<ShieldCheck size={14} aria-hidden="true" />} word="Proven" tone="good" />}
          {isRefuted(b) && <StatusText group="unhealthy" word="Proof failed" className="text-[0.8125rem]" />}
          {b.pinned && <Badge icon={<Pin size={14} aria-hidden="true" />} word="Pinned" />}
        </p>
        <p className="numbers text-[0.8125rem] text-muted [overflow-wrap:anywhere]">
          {complete ? sizeWords(b) : sentence(b.reason)}
          {" · "}
          {triggerWords[b.trigger]}
          {target && ` · in ${target}`}
        </p>
      </div>
      {complete && can("backUp") && (
        <Button
          small
          icon={<RotateCcw size={14} aria-hidden="true" />}
          onClick={() =>
            dialogs.open({ type: "backup", of: { type: "restore", serviceId: b.serviceId, backupId: b.id } })
          }
          aria-label={`Restore the backup of ${at}`}
        >
          Restore…
        </Button>
      )}
      {items(b).length > 0 && <MoreMenu label={`More for the backup of ${at}`} items={items(b)} />}
    </li>
  );
}

function ServiceName({ b }: { b: Backup }) {
  const s = useService(b.serviceId);
  return (
    <span className="min-w-0 font-medium [overflow-wrap:anywhere]">
      {s ? (
        <Link
          to="/$list/$id"
          params={{ list: pathOf[s.kind], id: s.id }}
          search={{ tab: "backups" }}
          className="text-text no-underline hover:underline"
        >
          {b.serviceName}
        </Link>
      ) : (
        <>
          {b.serviceName} <span className="font-normal text-muted">(removed)</span>
        </>
      )}{" "}
      <span className="font-normal text-muted">{kindNames[b.kind]}</span>
    </span>
  );
}

function Badge({ icon, word, tone }: { icon: ReactNode; word: string; tone?: "good" }) {
  return (
    <span
      className={cx(
        "inline-flex items-center gap-1 text-[0.8125rem]",
        tone === "good" ? "text-good-text" : "text-accent-text",
      )}
    >
      {icon}
      {word}
    </span>
  );
}

function items(b: Backup): MenuItem[] {
  const out: MenuItem[] = [];
  if (b.state === "COMPLETE") {
    out.push({
      label: "Contents…",
      icon: <FolderTree size={16} aria-hidden="true" />,
      onSelect: () => dialogs.open({ type: "backup", of: { type: "contents", backupId: b.id } }),
    });
    if (can("backUp")) {
      out.push({
        label: "Prove now",
        icon: <ShieldCheck size={16} aria-hidden="true" />,
        onSelect: () => void proveBackup(b.id),
      });
      out.push({
        label: b.pinned ? "Unpin" : "Pin",
        icon: b.pinned ? <PinOff size={16} aria-hidden="true" /> : <Pin size={16} aria-hidden="true" />,
        onSelect: () => void pinBackup(b.id, !b.pinned),
      });
    }
  }
  if (can("manageBackups") && b.state !== "DELETING" && !isUnderWay(b)) {
    out.push({
      label: b.pinned ? "Delete (unpin it first)" : "Delete…",
      icon: <Trash2 size={16} aria-hidden="true" />,
      danger: true,
      disabled: b.pinned,
      onSelect: () =>
        dialogs.open({
          type: "backup",
          of: { type: "deleteBackup", backupId: b.id, serviceName: b.serviceName, at: zoned(timeOf(b)) },
        }),
    });
  }
  return out;
}
