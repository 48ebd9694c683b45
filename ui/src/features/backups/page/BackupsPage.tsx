import { useNavigate, useSearch } from "@tanstack/react-router";
import { DatabaseBackup, HardDriveUpload, Plus } from "lucide-react";
import { useState } from "react";
import { Button } from "../../../components/Button";
import { Empty, Failure, Loading } from "../../../components/Empty";
import { Page } from "../../../components/Page";
import { dialogs } from "../../../model/dialogs";
import { kindNames, kinds } from "../../../model/kinds";
import { can, myKinds } from "../../../model/session";
import { BackupList } from "../BackupList";
import { type Lately, useLately } from "../data";
import type { BackupFilter } from "../documents";
import { RestoreRow } from "../RestoreRow";
import { type BackupsSearch, backupStatesShown } from "../search";
import { stateOf } from "../words";
import { Policies } from "./Policies";
import { TargetCard } from "./TargetCard";

const pageSize = 50;

/** Where backups go, the policies that have them taken, and what was backed up and restored lately. */
export function BackupsPage() {
  const search = useSearch({ from: "/backups" });
  const [first, setFirst] = useState(pageSize);
  const kind = kinds.find((k) => k === search.kind);
  const filter: BackupFilter = {
    ...(kind && { kind: [kind] }),
    ...(search.state && { state: [search.state] }),
    ...(search.target && { targetId: search.target }),
  };
  const { data, error, reload } = useLately(filter, first);
  const hasTargets = data !== undefined && data.targets.length > 0;
  return (
    <Page title="Backups" toolbar={can("manageBackups") && hasTargets && <Create />}>
      {!data ? (
        error ? (
          <Failure message={error} retry={<Button onClick={reload}>Try again</Button>} />
        ) : (
          <Loading />
        )
      ) : (
        <div className="mx-auto max-w-5xl space-y-8 p-4">
          {hasTargets ? <Targets data={data} /> : <NoTargets />}
          {(hasTargets || data.policies.length > 0) && <Policies policies={data.policies} targets={data.targets} />}
          {(hasTargets || data.backups.length > 0) && (
            <Recent
              data={data}
              search={search}
              kind={kind}
              more={() => setFirst((n) => Math.min(1_000, n + pageSize))}
            />
          )}
        </div>
      )}
    </Page>
  );
}

function Create() {
  return (
    <div className="ml-auto flex flex-wrap gap-2.5">
      <Button
        icon={<HardDriveUpload size={16} aria-hidden="true" />}
        onClick={() => dialogs.open({ type: "backup", of: { type: "importTarget" } })}
      >
        Take over
      </Button>
      <Button
        look="primary"
        icon={<Plus size={17} aria-hidden="true" />}
        onClick={() => dialogs.open({ type: "backup", of: { type: "createTarget" } })}
      >
        Create target
      </Button>
    </div>
  );
}

function NoTargets() {
  const may = can("manageBackups");
  return (
    <Empty
      icon={<DatabaseBackup size={22} />}
      title="No place for backups yet"
      actions={
        may && (
          <>
            <Button
              look="primary"
              icon={<Plus size={17} aria-hidden="true" />}
              onClick={() => dialogs.open({ type: "backup", of: { type: "createTarget" } })}
            >
              Create a target
            </Button>
            <Button onClick={() => dialogs.open({ type: "backup", of: { type: "importTarget" } })}>
              Take over a target…
            </Button>
          </>
        )
      }
    >
      {may
        ? "Create a target first: a folder on another disk, or a bucket. Then set a default policy, and every service is backed up by itself."
        : "Nothing is backed up until someone with the role ADMIN creates a target."}
    </Empty>
  );
}

function Targets({ data }: { data: Lately }) {
  return (
    <section aria-labelledby="targets">
      <h2 id="targets" className="mb-3 font-semibold">
        Targets
      </h2>
      <ul className="grid gap-4 md:grid-cols-2">
        {data.targets.map((t) => (
          <TargetCard key={t.id} target={t} />
        ))}
      </ul>
    </section>
  );
}

interface RecentProps {
  data: Lately;
  search: BackupsSearch;
  kind: (typeof kinds)[number] | undefined;
  more: () => void;
}

const mostRestores = 10;

/** Restores and backups of all services, newest first. */
function Recent({ data, search, kind, more }: RecentProps) {
  const [all, setAll] = useState(false);
  const restores = data.restores.filter((r) => !kind || r.kind === kind);
  const filtered = Boolean(search.kind || search.state || search.target);
  return (
    <>
      {restores.length > 0 && (
        <section aria-labelledby="recent-restores">
          <h2 id="recent-restores" className="mb-3 font-semibold">
            Restores
          </h2>
          <ul className="space-y-2">
            {restores.slice(0, all ? restores.length : mostRestores).map((r) => (
              <RestoreRow key={r.id} restore={r} />
            ))}
          </ul>
          {!all && restores.length > mostRestores && (
            <Button small className="mt-3" onClick={() => setAll(true)}>
              Show all {restores.length}
            </Button>
          )}
        </section>
      )}
      <section aria-labelledby="recent-backups">
        <div className="mb-3 flex flex-wrap items-center gap-x-4 gap-y-2.5">
          <h2 id="recent-backups" className="font-semibold">
            Backups
          </h2>
          <Filters search={search} targets={data.targets} />
        </div>
        {data.backups.length === 0 ? (
          <p className="text-muted">
            {filtered
              ? "No backup matches the filters."
              : "There are none yet. Set a default policy, and services are backed up by themselves."}
          </p>
        ) : (
          <BackupList
            backups={data.backups}
            targets={data.targets}
            named
            label="Backups of all services, newest first"
          />
        )}
        {data.more && (
          <Button small className="mt-3" onClick={more}>
            Show older backups
          </Button>
        )}
      </section>
    </>
  );
}

function Filters({ search, targets }: { search: BackupsSearch; targets: Lately["targets"] }) {
  const navigate = useNavigate();
  const set = (change: BackupsSearch) =>
    void navigate({ to: "/backups", search: (before) => ({ ...before, ...change }), replace: true });
  const box = "min-h-9 rounded-md border border-line bg-page px-2.5 text-text hover:border-line-strong";
  return (
    <div className="ml-auto flex flex-wrap gap-2.5">
      <select
        aria-label="Kind"
        className={box}
        value={search.kind ?? ""}
        onChange={(e) => set({ kind: e.target.value || undefined })}
      >
        <option value="">All kinds</option>
        {myKinds().map((k) => (
          <option key={k} value={k}>
            {kindNames[k]}
          </option>
        ))}
      </select>
      <select
        aria-label="State"
        className={box}
        value={search.state ?? ""}
        onChange={(e) => set({ state: (e.target.value || undefined) as BackupsSearch["state"] })}
      >
        <option value="">All states</option>
        {backupStatesShown.map((s) => (
          <option key={s} value={s}>
            {stateOf[s].word}
          </option>
        ))}
      </select>
      <select
        aria-label="Target"
        className={box}
        value={search.target ?? ""}
        onChange={(e) => set({ target: e.target.value || undefined })}
      >
        <option value="">All targets</option>
        {targets.map((t) => (
          <option key={t.id} value={t.id}>
            {t.name}
          </option>
        ))}
      </select>
    </div>
  );
}
