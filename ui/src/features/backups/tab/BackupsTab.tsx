import { Link } from "@tanstack/react-router";
import { DatabaseBackup } from "lucide-react";
import { type ReactNode, useState } from "react";
import { Button, buttonClass } from "../../../components/Button";
import { cx } from "../../../components/cx";
import { Failure, Loading } from "../../../components/Empty";
import { Mark } from "../../../components/Status";
import type { Service } from "../../../graphql/documents";
import { bytes, plural, sentence } from "../../../lib/format";
import { ago, until, useTicking, zoned } from "../../../lib/time";
import { backupStates } from "../../../model/backups";
import { dialogs } from "../../../model/dialogs";
import { can } from "../../../model/session";
import type { Group } from "../../../model/status";
import { backUp, cancelBackup } from "../actions";
import { BackupList } from "../BackupList";
import { type OfService, useServiceBackups } from "../data";
import type { ServiceBackup } from "../documents";
import { RestoreRow } from "../RestoreRow";
import { Running } from "../Running";
import { Timeline } from "../Timeline";
import { adviceFor, isUnderWay } from "../words";
import { LastProof } from "./LastProof";
import { PolicyPart } from "./PolicyPart";

const pageSize = 50;

/** How well the data of a service is backed up, its backups, and its policy. */
export default function BackupsTab({ s }: { s: Service }) {
  return <Backups key={s.id} s={s} />;
}

function Backups({ s }: { s: Service }) {
  const [first, setFirst] = useState(pageSize);
  const { data, error, reload } = useServiceBackups(s.id, first);
  if (!data) {
    if (!error) return <Loading />;
    return <Failure message={error} retry={<Button onClick={reload}>Try again</Button>} />;
  }
  if (!data.status) return <Loading />; // it is being removed: the detail goes too
  return (
    <div className="space-y-5 p-4">
      <State s={s} data={data} status={data.status} />
      <Facts status={data.status} />
      <LastProof backups={data.backups} />
      <Restores data={data} />
      <All data={data} more={() => setFirst((n) => Math.min(1_000, n + pageSize))} />
      <PolicyPart s={s} data={data} status={data.status} />
    </div>
  );
}

const boxes: Partial<Record<Group, string>> = {
  suspect: "border-warn bg-warn-soft",
  unhealthy: "border-bad bg-bad-soft",
};

/** The state in words, and what to do next. */
function State({ s, data, status }: { s: Service; data: OfService; status: ServiceBackup }) {
  const { group, word } = backupStates[status.state];
  const may = { backUp: can("backUp"), manage: can("manageBackups") };
  const running = data.backups.find(isUnderWay);
  const hasTargets = data.targets.length > 0;
  const open = (policyId?: string) =>
    dialogs.open({ type: "backup", of: { type: "policy", serviceId: s.id, policyId } });
  return (
    <div className="space-y-3">
      <div
        className={cx("flex gap-3 rounded-lg border p-3.5", boxes[group] ?? "border-line")}
        data-backup-state={status.state}
      >
        <span className="mt-1">
          <Mark group={group} size={12} />
        </span>
        <div className="min-w-0 flex-1">
          <p className="font-medium">{word}</p>
          <p className="text-muted [overflow-wrap:anywhere]">{`${sentence(status.reason)}.`.replace(/\.+$/, ".")}</p>
          <p>{adviceFor(status.state, hasTargets, may)}</p>
          <div className="mt-2.5 flex flex-wrap gap-2 empty:hidden">
            {may.backUp && hasTargets && !running && (
              <Button
                small
                look={status.state === "NONE" ? "plain" : "primary"}
                icon={<DatabaseBackup size={15} aria-hidden="true" />}
                onClick={() =>
                  status.policyId
                    ? void backUp(s, null)
                    : dialogs.open({ type: "backup", of: { type: "backUp", serviceId: s.id } })
                }
              >
                Back up now{status.policyId ? "" : "…"}
              </Button>
            )}
            {may.backUp && hasTargets && status.state === "NONE" && (
              <Button small look="primary" onClick={() => open()}>
                Set up a policy
              </Button>
            )}
            {may.backUp && (
              <Button small onClick={() => dialogs.open({ type: "backup", of: { type: "swap", serviceId: s.id } })}>
                Exchange…
              </Button>
            )}
            {may.backUp && hasTargets && (
              <Button small onClick={() => dialogs.open({ type: "backup", of: { type: "move", serviceId: s.id } })}>
                Move…
              </Button>
            )}
            {may.manage && !hasTargets && (
              <Link to="/backups" className={buttonClass("primary", true)}>
                Create a target
              </Link>
            )}
          </div>
        </div>
      </div>
      {running && (
        <Running id={running.id} title={`Backing up ${s.name}`} cancel={() => void cancelBackup(running.id)} />
      )}
    </div>
  );
}

function Facts({ status: x }: { status: ServiceBackup }) {
  if (!x.policyId && x.count === 0) return null;
  return (
    <dl className="grid grid-cols-[6.5rem_minmax(0,1fr)] gap-y-2">
      <Fact name="Newest">{x.lastAt ? <Moment at={x.lastAt} /> : <span className="text-muted">none yet</span>}</Fact>
      <Fact name="Next">
        {x.nextAt ? (
          <Moment at={x.nextAt} />
        ) : (
          <span className="text-muted">
            {x.policyId ? "none while it is stopped or paused" : "none without a policy"}
          </span>
        )}
      </Fact>
      <Fact name="Proven">{x.provenAt ? <Moment at={x.provenAt} /> : <span className="text-muted">not yet</span>}</Fact>
      {x.pointInTime && x.restorableFrom && x.restorableTo && (
        <Fact name="Restorable">
          to any moment from {zoned(Date.parse(x.restorableFrom))} to {zoned(Date.parse(x.restorableTo))}
        </Fact>
      )}
      <Fact name="Kept">
        {plural(x.count, "backup")}
        {x.sizeBytes !== null && `, the newest of ${bytes(x.sizeBytes)}`}
      </Fact>
    </dl>
  );
}

function Fact({ name, children }: { name: string; children: ReactNode }) {
  return (
    <>
      <dt className="text-muted">{name}</dt>
      <dd className="numbers min-w-0">{children}</dd>
    </>
  );
}

/** A time with its zone, and how far away it is. */
function Moment({ at }: { at: string }) {
  const then = Date.parse(at);
  const distance = useTicking((now) => (then > now ? until(then, now) : ago(then, now)));
  return (
    <time dateTime={at}>
      {zoned(then)} <span className="text-muted">({distance})</span>
    </time>
  );
}

/** Services that are being made of its backups, or were lately. */
function Restores({ data }: { data: OfService }) {
  const shown = data.restores.filter((r) => r.purpose !== "PROOF" || isUnderWay(r)); // the report has what became of a proof
  if (shown.length === 0) return null;
  return (
    <section aria-labelledby="restores">
      <h3 id="restores" className="mb-2 font-medium">
        Restores
      </h3>
      <ul className="space-y-2">
        {shown.slice(0, 5).map((r) => (
          <RestoreRow key={r.id} restore={r} />
        ))}
      </ul>
    </section>
  );
}

function All({ data, more }: { data: OfService; more: () => void }) {
  const [chosen, setChosen] = useState<string>();
  const choose = (id: string) => {
    setChosen(id);
    document.querySelector(`[data-backup="${CSS.escape(id)}"]`)?.scrollIntoView({ block: "nearest" });
  };
  return (
    <section aria-labelledby="all-backups">
      <h3 id="all-backups" className="mb-2 font-medium">
        Backups
      </h3>
      {data.backups.length === 0 ? (
        <p className="text-muted">There are none yet.</p>
      ) : (
        <div className="space-y-4">
          <Timeline backups={data.backups} chosen={chosen} onChoose={choose} label="Backups by time" />
          <BackupList backups={data.backups} targets={data.targets} chosen={chosen} label="Backups, newest first" />
          {data.more && (
            <Button small onClick={more}>
              Show older backups
            </Button>
          )}
        </div>
      )}
    </section>
  );
}
