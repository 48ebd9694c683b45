import { useRef, useState } from "react";
import { Dialog } from "../../../components/Dialog";
import { Loading } from "../../../components/Empty";
import { Field, Input, Problem, Select, TextArea } from "../../../components/Field";
import { FormDialog } from "../../../components/FormDialog";
import { type Submission, useSubmission } from "../../../lib/form";
import { plural, sentence } from "../../../lib/format";
import { toast } from "../../../lib/toast";
import { dialogs } from "../../../model/dialogs";
import { useService } from "../../../model/hooks";
import { kindNames } from "../../../model/kinds";
import { myKinds } from "../../../model/session";
import { browserZone, presets, scheduleWords, zones } from "../cron";
import { type Places, usePlaces } from "../data";
import { keepNames, type PolicyValues, policyInput, policyProblems, proofs, setPolicy, valuesOf } from "../policy";
import { proveWords, scopeWords } from "../words";
import { NextTime } from "./NextTime";
import { TargetSelect } from "./TargetSelect";

interface Props {
  /** The service that it is of; it is a default without one. */
  serviceId: string | undefined;
  /** The one that is changed; it is a new one without it. */
  policyId: string | undefined;
}

/** Sets or changes a policy. */
export function PolicyDialog(props: Props) {
  const { data } = usePlaces();
  if (data) return <Form {...props} places={data} />;
  return (
    <Dialog open onClose={dialogs.close} title="Backup policy">
      <Loading rows={4} />
    </Dialog>
  );
}

const fields = [
  ...["targetId", "schedule", "timeZone", "keep.last", "keep.daily", "keep.weekly", "keep.monthly", "keep"],
  ...["proveEvery", "kinds", "labels"],
];

interface Part {
  values: PolicyValues;
  change: (part: Partial<PolicyValues>, field: string) => void;
  form: Submission;
}

function Form({ serviceId, policyId, places }: Props & { places: Places }) {
  const service = useService(serviceId ?? "");
  const policy = places.policies.find((p) => p.id === policyId);
  const [values, setValues] = useState(() => valuesOf(policy, places.targets[0]?.id ?? "", browserZone()));
  const form = useSubmission(fields);
  const first = useRef<HTMLSelectElement>(null);
  const change = (part: Partial<PolicyValues>, field: string) => {
    setValues((v) => ({ ...v, ...part }));
    form.changed(field);
    if (field.startsWith("keep.")) form.changed("keep");
  };
  const part = { values, change, form };
  const of = serviceId ? `of ${service?.name ?? "this service"}` : "for several services";
  return (
    <FormDialog
      wide
      title={serviceId ? <>Backup policy {of}</> : policy ? "Default policy" : "New default policy"}
      description={
        serviceId
          ? "When the service is backed up, where to, and how long its backups are kept."
          : "For all services of some kinds or with some labels that have no policy of their own."
      }
      verb={policy ? "Save policy" : "Set policy"}
      look="primary"
      busy={form.busy}
      problem={form.problems[""]}
      initialFocus={first}
      onClose={dialogs.close}
      onSubmit={() =>
        void form.submit(
          () => policyProblems(values),
          async () => {
            const services = await setPolicy(policy?.id ?? null, policyInput(values, serviceId, policy));
            dialogs.close();
            toast.done("The policy is set", `It applies to ${plural(services, "service")}.`);
          },
        )
      }
    >
      <div className="space-y-4">
        {!serviceId && !policy && <Scope {...part} />}
        {!serviceId && policy && (
          <p>
            For {scopeWords(policy, (kind) => kindNames[kind])}.{" "}
            <span className="text-muted">To have it for others, delete it and make a new one.</span>
          </p>
        )}
        <Field label="Where to" error={form.problems.targetId}>
          {(wiring) => (
            <TargetSelect
              {...wiring}
              ref={first}
              targets={places.targets}
              value={values.targetId}
              onChange={(e) => change({ targetId: e.target.value }, "targetId")}
            />
          )}
        </Field>
        <Schedule {...part} />
        <Keep {...part} />
        <Field
          label="Prove a backup"
          error={form.problems.proveEvery}
          hint="A backup is restored on trial, checked and removed again."
        >
          {(wiring) => (
            <Select
              {...wiring}
              value={values.proveEvery}
              onChange={(e) => change({ proveEvery: e.target.value }, "proveEvery")}
            >
              {proofs.map((p) => (
                <option key={p.seconds} value={p.seconds}>
                  {p.label}
                </option>
              ))}
              {!proofs.some((p) => String(p.seconds) === values.proveEvery) && (
                <option value={values.proveEvery}>{sentence(proveWords(Number(values.proveEvery)))}</option>
              )}
            </Select>
          )}
        </Field>
        <Check
          label="Keep the log too, so that PostgreSQL can be restored to any moment"
          checked={values.pointInTime}
          onChange={(pointInTime) => change({ pointInTime }, "pointInTime")}
        />
        <Check
          label="Take a last backup when the service is removed with its data"
          checked={values.finalBackup}
          onChange={(finalBackup) => change({ finalBackup }, "finalBackup")}
        />
        <Check
          label="Paused: nothing is backed up for now"
          checked={values.paused}
          onChange={(paused) => change({ paused }, "paused")}
        />
      </div>
    </FormDialog>
  );
}

function Scope({ values, change, form }: Part) {
  const toggle = (kind: PolicyValues["kinds"][number], on: boolean) =>
    change({ kinds: on ? [...values.kinds, kind] : values.kinds.filter((k) => k !== kind) }, "kinds");
  return (
    <>
      <fieldset>
        <legend className="mb-1.5 font-medium">Kinds</legend>
        <div className="flex flex-wrap gap-x-5 gap-y-2">
          {myKinds().map((kind) => (
            <Check
              key={kind}
              label={kindNames[kind]}
              checked={values.kinds.includes(kind)}
              onChange={(on) => toggle(kind, on)}
            />
          ))}
        </div>
        <p className="mt-1.5 text-[0.8125rem] text-muted">All kinds if none is chosen.</p>
        {form.problems.kinds && <Problem>{form.problems.kinds}</Problem>}
      </fieldset>
      <Field
        label="Labels"
        optional
        error={form.problems.labels}
        hint="One on a line: name=value. A service must have all of them."
      >
        {(wiring) => (
          <TextArea
            {...wiring}
            rows={2}
            value={values.labels}
            onChange={(e) => change({ labels: e.target.value }, "labels")}
            className="font-mono"
          />
        )}
      </Field>
    </>
  );
}

function Schedule({ values, change, form }: Part) {
  const known = presets.some((p) => p.schedule === values.schedule);
  const [own, setOwn] = useState(!known);
  return (
    <fieldset className="space-y-3">
      <legend className="sr-only">Schedule</legend>
      <div className="grid gap-4 sm:grid-cols-2">
        <Field label="When">
          {(wiring) => (
            <Select
              {...wiring}
              value={own ? "" : values.schedule}
              onChange={(e) => {
                setOwn(e.target.value === "");
                if (e.target.value) change({ schedule: e.target.value }, "schedule");
              }}
            >
              {presets.map((p) => (
                <option key={p.schedule} value={p.schedule}>
                  {p.label}
                </option>
              ))}
              <option value="">At other times</option>
            </Select>
          )}
        </Field>
        <Field label="Time zone" error={form.problems.timeZone}>
          {(wiring) => (
            <>
              <Input
                {...wiring}
                list="time-zones"
                value={values.timeZone}
                onChange={(e) => change({ timeZone: e.target.value }, "timeZone")}
              />
              <datalist id="time-zones">
                {zones().map((z) => (
                  <option key={z} value={z} />
                ))}
              </datalist>
            </>
          )}
        </Field>
      </div>
      {(own || form.problems.schedule) && (
        <Field
          label="Cron expression"
          error={form.problems.schedule}
          hint="Minute, hour, day of month, month, day of week. At least 5 minutes lie between two backups."
        >
          {(wiring) => (
            <Input
              {...wiring}
              value={values.schedule}
              onChange={(e) => change({ schedule: e.target.value }, "schedule")}
              className="font-mono"
            />
          )}
        </Field>
      )}
      <NextTime schedule={values.schedule} timeZone={values.timeZone} words={scheduleWords(values.schedule)} />
    </fieldset>
  );
}

const keepLabels = { last: "Newest", daily: "Daily", weekly: "Weekly", monthly: "Monthly" };

function Keep({ values, change, form }: Part) {
  return (
    <fieldset>
      <legend className="mb-1.5 font-medium">Keep</legend>
      <div className="grid grid-cols-2 gap-3 sm:grid-cols-4">
        {keepNames.map((name) => (
          <Field
            key={name}
            label={<span className="font-normal">{keepLabels[name]}</span>}
            error={form.problems[`keep.${name}`]}
          >
            {(wiring) => (
              <Input
                {...wiring}
                inputMode="numeric"
                value={values.keep[name]}
                onChange={(e) => change({ keep: { ...values.keep, [name]: e.target.value } }, `keep.${name}`)}
              />
            )}
          </Field>
        ))}
      </div>
      {form.problems.keep ? (
        <Problem>{form.problems.keep}</Problem>
      ) : (
        <p className="mt-1.5 text-[0.8125rem] text-muted">
          The newest of each of so many days, weeks and months. Pinned backups are always kept.
        </p>
      )}
    </fieldset>
  );
}

function Check({ label, checked, onChange }: { label: string; checked: boolean; onChange: (on: boolean) => void }) {
  return (
    <label className="flex min-h-6 cursor-pointer items-center gap-2.5">
      <input
        type="checkbox"
        checked={checked}
        onChange={(e) => onChange(e.target.checked)}
        className="size-6 shrink-0 accent-accent"
      />
      {label}
    </label>
  );
}
