import { Archive, Cloud, FlaskConical, Folder, KeyRound, Trash2, TriangleAlert } from "lucide-react";
import { useState } from "react";
import { Button } from "../../../components/Button";
import { MoreMenu } from "../../../components/Menu";
import { StatusText } from "../../../components/Status";
import { Ago } from "../../../components/Time";
import { live } from "../../../graphql/live";
import { bytes, plural, sentence } from "../../../lib/format";
import { dialogs } from "../../../model/dialogs";
import { can } from "../../../model/session";
import { testTarget } from "../actions";
import type { Target } from "../documents";
import { placeOf } from "../words";

/** A place for backups: where it is, whether it answers, what is in it, and what to know about it. */
export function TargetCard({ target: t }: { target: Target }) {
  const Icon = t.folder !== null ? Folder : t.serviceId !== null ? Archive : Cloud;
  return (
    <li className="flex flex-col rounded-xl border border-line bg-surface p-4" data-target={t.name}>
      <div className="flex items-start gap-3">
        <span
          className="flex size-9 shrink-0 items-center justify-center rounded-lg bg-sunken text-muted"
          aria-hidden="true"
        >
          <Icon size={18} />
        </span>
        <div className="min-w-0 flex-1">
          <h3 className="font-semibold [overflow-wrap:anywhere]">{t.name}</h3>
          <p className="text-[0.8125rem] text-muted [overflow-wrap:anywhere]">
            {placeOf(t, (id) => live.service(id)?.name)}
          </p>
        </div>
        <StatusText
          group={t.checkedAt === null ? "unknown" : t.reachable ? "healthy" : "unhealthy"}
          word={t.checkedAt === null ? "Not tested yet" : t.reachable ? "Reachable" : "Unreachable"}
          className="mt-1.5"
        />
        {can("manageBackups") && <More t={t} />}
      </div>
      {!t.reachable && t.reason && (
        <p className="mt-3 rounded-md bg-bad-soft px-3 py-2 text-bad-text [overflow-wrap:anywhere]">
          {sentence(t.reason)}
        </p>
      )}
      <p className="numbers mt-3 text-[0.8125rem] text-muted">
        {plural(t.backupCount, "backup")} ·{" "}
        {t.storedBytes === null ? "size not known" : `${bytes(t.storedBytes)} stored`} ·{" "}
        {plural(t.policyCount, "policy", "policies")}
        {t.writeMiBPerSecond !== null && ` · at most ${t.writeMiBPerSecond} MiB/s`}
        {t.checkedAt !== null && (
          <>
            {" · used "}
            <Ago at={t.checkedAt} />
          </>
        )}
        {t.storeSavedAt !== null && (
          <>
            {" · uws itself saved "}
            <Ago at={t.storeSavedAt} />
          </>
        )}
      </p>
      {t.warnings.length > 0 && (
        <ul aria-label={`Warnings about ${t.name}`} className="mt-3 space-y-1.5">
          {t.warnings.map((w) => (
            <li key={w} className="flex gap-2 text-[0.8125rem]">
              <TriangleAlert size={15} aria-hidden="true" className="mt-0.5 shrink-0 text-warn-text" />
              <span className="min-w-0 [overflow-wrap:anywhere]">{w}</span>
            </li>
          ))}
        </ul>
      )}
      <Actions t={t} />
    </li>
  );
}

function Actions({ t }: { t: Target }) {
  const [busy, setBusy] = useState(false);
  if (!can("backUp")) return null;
  const test = async () => {
    setBusy(true);
    await testTarget(t.id, t.name);
    setBusy(false);
  };
  return (
    <div className="mt-auto flex flex-wrap items-center gap-2 pt-4">
      <Button small busy={busy} icon={<FlaskConical size={14} aria-hidden="true" />} onClick={() => void test()}>
        Test
      </Button>
      {can("manageBackups") && (
        <Button
          small
          look={t.recoveryKitTakenAt === null ? "primary" : "plain"}
          icon={<KeyRound size={14} aria-hidden="true" />}
          onClick={() => dialogs.open({ type: "backup", of: { type: "recoveryKit", targetId: t.id, name: t.name } })}
        >
          {t.recoveryKitTakenAt === null ? "Take the recovery kit…" : "Recovery kit…"}
        </Button>
      )}
    </div>
  );
}

function More({ t }: { t: Target }) {
  return (
    <MoreMenu
      label={`More for ${t.name}`}
      items={[
        {
          label: t.policyCount > 0 ? "Delete (policies use it)" : "Delete…",
          icon: <Trash2 size={16} aria-hidden="true" />,
          danger: true,
          disabled: t.policyCount > 0,
          onSelect: () => dialogs.open({ type: "backup", of: { type: "deleteTarget", targetId: t.id, name: t.name } }),
        },
      ]}
    />
  );
}
