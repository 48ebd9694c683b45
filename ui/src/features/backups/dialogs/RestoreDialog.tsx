import { Link } from "@tanstack/react-router";
import { useCallback, useRef, useState } from "react";
import { Button, buttonClass } from "../../../components/Button";
import { Dialog, DialogActions } from "../../../components/Dialog";
import { Failure, Loading } from "../../../components/Empty";
import { Field, Input, Problem, Select } from "../../../components/Field";
import { StatusText } from "../../../components/Status";
import { run, runUncached } from "../../../graphql/client";
import { live } from "../../../graphql/live";
import { useSubmission } from "../../../lib/form";
import { sentence } from "../../../lib/format";
import { zoned } from "../../../lib/time";
import { useAnswer } from "../../../model/answer";
import { dialogs } from "../../../model/dialogs";
import { useNodes, useService } from "../../../model/hooks";
import { pathOf } from "../../../model/kinds";
import { cancelRestore } from "../actions";
import { backupsChanged, useServiceBackups } from "../data";
import { type Backup, type Restore, RestoreBackup, RestoreById, type ServiceBackup } from "../documents";
import { Running } from "../Running";
import { backupBefore, momentProblem, restoredName, restoreNameProblem, windowOf } from "../restore";
import { Timeline } from "../Timeline";
import { canAct, isUnderWay, planWords, restoreStateOf, timeOf } from "../words";

const shown = 500; // backups on the timeline

/** Makes a new service of a backup: what is chosen, what will happen, and how far it is. */
export function RestoreDialog({ serviceId, backupId }: { serviceId: string; backupId: string }) {
  const { data, error } = useServiceBackups(serviceId, shown);
  const [begun, setBegun] = useState<Restore>();
  if (begun) return <Begun restore={begun} />;
  const complete = data?.backups.filter((b) => b.state === "COMPLETE") ?? [];
  if (data && complete.length > 0)
    return <Choose backups={complete} status={data.status} backupId={backupId} onBegun={setBegun} />;
  return (
    <Dialog open onClose={dialogs.close} title="Restore a backup">
      {error ? (
        <Failure message={error} />
      ) : data ? (
        <p className="mt-4 text-muted">There is no backup that can be restored.</p>
      ) : (
        <Loading rows={4} />
      )}
      <DialogActions>
        <Button onClick={dialogs.close}>Close</Button>
      </DialogActions>
    </Dialog>
  );
}

interface ChooseProps {
  backups: readonly Backup[];
  status: ServiceBackup | null;
  backupId: string;
  onBegun: (restore: Restore) => void;
}

function Choose({ backups, status, backupId, onBegun }: ChooseProps) {
  const [chosen, setChosen] = useState(backupId);
  const [moment, setMoment] = useState(""); // of the browser's clock; empty: as of the backup
  const window = windowOf(status);
  const backup = backups.find((b) => b.id === chosen) ?? (backups[0] as Backup);
  const [name, setName] = useState(() => restoredName(backup.serviceName, (n) => live.named(n) !== undefined));
  const [nodeId, setNodeId] = useState("");
  const [rotate, setRotate] = useState(false);
  const [quarantine, setQuarantine] = useState(true);
  const nodes = useNodes();
  const form = useSubmission(["name", "nodeId", "at"]);
  const first = useRef<HTMLInputElement>(null);
  const node = nodes.find((n) => n.id === nodeId)?.name;
  const at = moment && new Date(moment).toISOString();
  const submit = () =>
    form.submit(
      () => ({
        name: restoreNameProblem(name, (n) => live.named(n) !== undefined),
        at: momentProblem(moment, backups, window),
      }),
      async () => {
        const input = { name, rotateCredentials: rotate, quarantine, ...(nodeId && { nodeId }), ...(at && { at }) };
        const { restoreBackup } = await run(RestoreBackup, { id: backup.id, input });
        backupsChanged();
        onBegun(restoreBackup);
      },
    );
  return (
    <Dialog
      open
      wide
      onClose={dialogs.close}
      title={<>Restore {backup.serviceName}</>}
      description="Makes a new service of a backup. Choose which one."
      initialFocus={first}
    >
      <form
        noValidate
        className="mt-4 space-y-4"
        onSubmit={(event) => {
          event.preventDefault();
          void submit();
        }}
      >
        <Timeline
          backups={backups}
          chosen={backup.id}
          onChoose={(id) => {
            setChosen(id);
            setMoment("");
          }}
          label="Backup to restore"
        />
        {window && (
          <Field
            label="Moment"
            error={form.problems.at}
            hint={`Empty: as of the backup. The log is kept until ${zoned(window.to)}.`}
          >
            {(wiring) => (
              <Input
                {...wiring}
                type="datetime-local"
                step={1}
                value={moment}
                onChange={(e) => {
                  setMoment(e.target.value);
                  setChosen(backupBefore(backups, Date.parse(e.target.value))?.id ?? chosen);
                  form.changed("at");
                }}
              />
            )}
          </Field>
        )}
        <div className="grid gap-4 sm:grid-cols-2">
          <Field label="Name of the new service" error={form.problems.name}>
            {(wiring) => (
              <Input
                {...wiring}
                ref={first}
                value={name}
                onChange={(e) => {
                  setName(e.target.value);
                  form.changed("name");
                }}
                className="font-mono"
              />
            )}
          </Field>
          <Field label="Node" error={form.problems.nodeId}>
            {(wiring) => (
              <Select
                {...wiring}
                value={nodeId}
                onChange={(e) => {
                  setNodeId(e.target.value);
                  form.changed("nodeId");
                }}
              >
                <option value="">Automatic</option>
                {nodes.map((n) => (
                  <option key={n.id} value={n.id} disabled={!n.healthy || n.draining}>
                    {n.name}
                    {!n.healthy ? " (unreachable)" : n.draining ? " (draining)" : ""}
                  </option>
                ))}
              </Select>
            )}
          </Field>
        </div>
        <label className="flex min-h-6 cursor-pointer items-center gap-2.5">
          <input
            type="checkbox"
            checked={rotate}
            onChange={(e) => setRotate(e.target.checked)}
            className="size-6 shrink-0 accent-accent"
          />
          Replace its credentials once it works
        </label>
        {canAct(backup) && (
          <label className="flex min-h-6 cursor-pointer items-center gap-2.5">
            <input
              type="checkbox"
              checked={quarantine}
              onChange={(e) => setQuarantine(e.target.checked)}
              className="size-6 shrink-0 accent-accent"
            />
            Keep it from acting on others: no subscriptions, scheduled jobs or streams that copy others
          </label>
        )}
        <section aria-label="Plan" data-plan className="rounded-lg border border-line bg-sunken px-3.5 py-3">
          <h3 className="mb-1 font-medium">What will happen</h3>
          {planWords({ name, backup, at: moment ? Date.parse(moment) : timeOf(backup), node, rotate, quarantine }).map(
            (line) => (
              <p key={line} className="[overflow-wrap:anywhere]">
                {line}
              </p>
            ),
          )}
        </section>
        {form.problems[""] && <Problem>{form.problems[""]}</Problem>}
        <DialogActions>
          <Button onClick={dialogs.close}>Cancel</Button>
          <Button look="primary" type="submit" busy={form.busy}>
            Restore to a new service
          </Button>
        </DialogActions>
      </form>
    </Dialog>
  );
}

const lookEvery = 1_500; // ms

/** How far a restore is. It goes on when the dialog is closed. */
function Begun({ restore }: { restore: Restore }) {
  const load = useCallback(async () => (await runUncached(RestoreById, { id: restore.id })).restore, [restore.id]);
  const [{ data }] = useAnswer(load, lookEvery);
  const r = data ?? restore;
  const made = useService(r.serviceId ?? "");
  const close = useRef<HTMLButtonElement>(null);
  const { group, word } = restoreStateOf[r.state];
  return (
    <Dialog
      open
      wide
      onClose={dialogs.close}
      title={<>Restore to {r.name}</>}
      description={isUnderWay(r) ? "It goes on when you close this dialog." : undefined}
      initialFocus={close}
    >
      <div className="mt-4">
        {isUnderWay(r) ? (
          <Running id={r.id} title={`Making ${r.name}`} cancel={() => void cancelRestore(r.id)} />
        ) : (
          <div role="status" className="rounded-lg border border-line p-3.5">
            <StatusText group={group} word={word} className="font-medium" />
            <p className="mt-1 text-muted [overflow-wrap:anywhere]">{sentence(r.reason)}</p>
          </div>
        )}
      </div>
      <DialogActions>
        <Button ref={close} onClick={dialogs.close}>
          Close
        </Button>
        {r.state === "COMPLETE" && made && (
          <Link
            to="/$list/$id"
            params={{ list: pathOf[made.kind], id: made.id }}
            onClick={dialogs.close}
            className={buttonClass("primary")}
          >
            Open {made.name}
          </Link>
        )}
      </DialogActions>
    </Dialog>
  );
}
