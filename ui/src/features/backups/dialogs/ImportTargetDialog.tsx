import { useRef, useState } from "react";
import { Field, Input, TextArea } from "../../../components/Field";
import { FormDialog } from "../../../components/FormDialog";
import { run } from "../../../graphql/client";
import { useSubmission } from "../../../lib/form";
import { plural } from "../../../lib/format";
import { toast } from "../../../lib/toast";
import { nameProblem } from "../../../lib/validate";
import { dialogs } from "../../../model/dialogs";
import { backupsChanged } from "../data";
import { ImportTarget } from "../documents";

/** Takes over a target of another installation, or one that was deleted here, by its recovery kit. */
export function ImportTargetDialog() {
  const [values, setValues] = useState({ name: "", recoveryKit: "", secretKey: "" });
  const form = useSubmission(["name", "recoveryKit", "secretKey"]);
  const first = useRef<HTMLInputElement>(null);
  const set = (field: keyof typeof values, value: string) => {
    setValues((v) => ({ ...v, [field]: value }));
    form.changed(field);
  };
  const inS3 = /^\s*bucket:/m.test(values.recoveryKit);
  return (
    <FormDialog
      wide
      title="Take over a target"
      description="With its recovery kit, a target can be used here with all backups that are in it. The services need not exist here."
      verb={form.busy ? "Taking it over" : "Take over"}
      look="primary"
      busy={form.busy}
      problem={form.problems[""]}
      initialFocus={first}
      onClose={dialogs.close}
      onSubmit={() =>
        void form.submit(
          () => ({
            name: nameProblem(values.name),
            recoveryKit: values.recoveryKit.trim() ? "" : "Paste the text of the recovery kit.",
            secretKey: inS3 && !values.secretKey ? "Enter the secret key: it is not in the kit." : "",
          }),
          async () => {
            const { importBackupTarget: t } = await run(ImportTarget, {
              input: {
                name: values.name,
                recoveryKit: values.recoveryKit,
                ...(values.secretKey && { secretKey: values.secretKey }),
              },
            });
            dialogs.close();
            backupsChanged();
            toast.done(`${t.name} is taken over`, `It has ${plural(t.backupCount, "backup")}.`);
          },
        )
      }
    >
      <div className="space-y-4">
        <Field label="Name" error={form.problems.name} hint="What it is called here.">
          {(wiring) => (
            <Input
              {...wiring}
              ref={first}
              value={values.name}
              onChange={(e) => set("name", e.target.value)}
              className="font-mono"
            />
          )}
        </Field>
        <Field
          label="Recovery kit"
          error={form.problems.recoveryKit}
          hint="The whole text. If the backups are in another place now, change the lines in it."
        >
          {(wiring) => (
            <TextArea
              {...wiring}
              rows={8}
              value={values.recoveryKit}
              onChange={(e) => set("recoveryKit", e.target.value)}
              className="font-mono text-xs"
            />
          )}
        </Field>
        {(inS3 || form.problems.secretKey) && (
          <Field label="Secret key of the S3" error={form.problems.secretKey}>
            {(wiring) => (
              <Input
                {...wiring}
                type="password"
                value={values.secretKey}
                onChange={(e) => set("secretKey", e.target.value)}
                className="font-mono"
              />
            )}
          </Field>
        )}
      </div>
    </FormDialog>
  );
}
