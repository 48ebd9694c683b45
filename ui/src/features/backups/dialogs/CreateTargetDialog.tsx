import { Archive, Cloud, Folder } from "lucide-react";
import { type Ref, useRef, useState } from "react";
import { cx } from "../../../components/cx";
import { Field, Input, Problem, Select, TextArea } from "../../../components/Field";
import { FormDialog } from "../../../components/FormDialog";
import { run } from "../../../graphql/client";
import { live } from "../../../graphql/live";
import { type Submission, useSubmission } from "../../../lib/form";
import { dialogs } from "../../../model/dialogs";
import { backupsChanged } from "../data";
import { CreateTarget } from "../documents";
import { emptyTarget, type Place, type TargetValues, targetFields, targetInput, targetProblems } from "../target";

const places: readonly { place: Place; name: string; what: string; icon: typeof Folder }[] = [
  { place: "folder", name: "Folder", what: "On the machine of uws, best on another disk", icon: Folder },
  { place: "service", name: "Bucket service", what: "A bucket of this installation", icon: Archive },
  { place: "s3", name: "Other S3", what: "Anything that speaks S3", icon: Cloud },
];

/** Makes a place for backups. Its recovery kit is shown next. */
export function CreateTargetDialog() {
  const [values, setValues] = useState<TargetValues>(emptyTarget);
  const form = useSubmission(targetFields);
  const first = useRef<HTMLInputElement>(null);
  const change = (part: Partial<TargetValues>, field: string) => {
    setValues((v) => ({ ...v, ...part }));
    form.changed(field);
  };
  return (
    <FormDialog
      wide
      title="Create a target"
      description="A place for backups. They are encrypted before they leave uws. Something is written there, read and deleted before the target is made."
      verb={form.busy ? "Trying it" : "Create target"}
      look="primary"
      busy={form.busy}
      problem={form.problems[""]}
      initialFocus={first}
      onClose={dialogs.close}
      onSubmit={() =>
        void form.submit(
          () => targetProblems(values),
          async () => {
            const { createBackupTarget: t } = await run(CreateTarget, { input: targetInput(values) });
            backupsChanged();
            dialogs.open({ type: "backup", of: { type: "recoveryKit", targetId: t.id, name: t.name } });
          },
        )
      }
    >
      <div className="space-y-4">
        <PlaceChoice value={values.place} onChange={(place) => change({ place }, "folder")} />
        <Text
          name="name"
          label="Name"
          values={values}
          change={change}
          form={form}
          inputRef={first}
          hint="Lowercase letters, digits and dashes."
        />
        {values.place === "folder" && (
          <Text
            name="folder"
            label="Folder"
            values={values}
            change={change}
            form={form}
            hint="An absolute path. It is made if it does not exist, and must be empty."
          />
        )}
        {values.place === "service" && <ServiceFields values={values} change={change} form={form} />}
        {values.place === "s3" && <S3Fields values={values} change={change} form={form} />}
        {form.problems.s3 && <Problem>{form.problems.s3}</Problem>}
        <Text
          name="writeMiBPerSecond"
          label="Most MiB written per second"
          optional
          values={values}
          change={change}
          form={form}
          hint="No limit if left out."
        />
      </div>
    </FormDialog>
  );
}

interface Part {
  values: TargetValues;
  change: (part: Partial<TargetValues>, field: string) => void;
  form: Submission;
}

type TextName = Exclude<keyof TargetValues, "place">;

interface TextProps extends Part {
  name: TextName;
  label: string;
  hint?: string;
  optional?: boolean;
  secret?: boolean;
  long?: boolean;
  inputRef?: Ref<HTMLInputElement>;
}

/** One field of text. Those of an S3 are "s3.…" in the server's words. */
function Text({ name, label, hint, optional, secret, long, inputRef, values, change, form }: TextProps) {
  const inS3 = !["name", "folder", "writeMiBPerSecond"].includes(name);
  const field = inS3 ? `s3.${name}` : name;
  return (
    <Field label={label} error={form.problems[field]} {...(hint && { hint })} {...(optional && { optional })}>
      {(wiring) =>
        long ? (
          <TextArea
            {...wiring}
            value={values[name]}
            onChange={(e) => change({ [name]: e.target.value }, field)}
            className="font-mono text-xs"
          />
        ) : (
          <Input
            {...wiring}
            ref={inputRef}
            type={secret ? "password" : "text"}
            value={values[name]}
            onChange={(e) => change({ [name]: e.target.value }, field)}
            className="font-mono"
          />
        )
      }
    </Field>
  );
}

function ServiceFields(part: Part) {
  const { values, change, form } = part;
  const buckets = [...live.services().values()].filter((s) => s.kind === "BUCKET");
  return (
    <div className="grid gap-4 sm:grid-cols-2">
      <Field
        label="Service"
        error={form.problems["s3.serviceId"]}
        hint={
          buckets.length === 0 ? "There is no BUCKET service. Launch one first." : "It cannot hold its own backups."
        }
      >
        {(wiring) => (
          <Select
            {...wiring}
            value={values.serviceId}
            onChange={(e) => change({ serviceId: e.target.value }, "s3.serviceId")}
          >
            <option value="">Choose a service</option>
            {buckets.map((s) => (
              <option key={s.id} value={s.id}>
                {s.name}
              </option>
            ))}
          </Select>
        )}
      </Field>
      <Text {...part} name="bucket" label="Bucket" hint="It is made if it does not exist." />
      <Text {...part} name="prefix" label="Prefix" optional />
    </div>
  );
}

function S3Fields(part: Part) {
  return (
    <div className="grid gap-4 sm:grid-cols-2">
      <Text {...part} name="endpoint" label="Endpoint" hint="Such as https://s3.example.com." />
      <Text {...part} name="region" label="Region" optional hint="us-east-1 if left out." />
      <Text {...part} name="bucket" label="Bucket" />
      <Text {...part} name="prefix" label="Prefix" optional hint="So that several targets can share a bucket." />
      <Text {...part} name="accessKey" label="Access key" />
      <Text {...part} name="secretKey" label="Secret key" secret hint="It is stored encrypted and never shown." />
      <div className="sm:col-span-2">
        <Text
          {...part}
          name="ca"
          label="CA certificate"
          optional
          long
          hint="In PEM, if the machine does not trust the server."
        />
      </div>
    </div>
  );
}

function PlaceChoice({ value, onChange }: { value: Place; onChange: (place: Place) => void }) {
  return (
    <fieldset>
      <legend className="mb-1.5 font-medium">Where</legend>
      <div className="grid gap-2 sm:grid-cols-3">
        {places.map(({ place, name, what, icon: Icon }) => (
          <label
            key={place}
            className={cx(
              "relative flex cursor-pointer items-start gap-2.5 rounded-lg border px-3 py-2.5 has-focus-visible:outline-2 has-focus-visible:outline-offset-2 has-focus-visible:outline-accent",
              place === value ? "border-accent bg-accent-soft" : "border-line hover:border-line-strong",
            )}
          >
            <input
              type="radio"
              name="place"
              checked={place === value}
              onChange={() => onChange(place)}
              className="absolute inset-0 cursor-pointer opacity-0"
            />
            <Icon size={18} aria-hidden="true" className="mt-0.5 shrink-0" />
            <span>
              <span className="block font-medium">{name}</span>
              <span className="text-[0.8125rem] text-muted">{what}</span>
            </span>
          </label>
        ))}
      </div>
    </fieldset>
  );
}
