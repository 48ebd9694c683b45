import { useRef, useState } from "react";
import { Field, TextArea } from "../../components/Field";
import { FormDialog } from "../../components/FormDialog";
import { run } from "../../graphql/client";
import { SetLabels } from "../../graphql/documents";
import { useSubmission } from "../../lib/form";
import { labelChange, labelsIn, labelText } from "../../lib/labels";
import { toast } from "../../lib/toast";
import { dialogs } from "../../model/dialogs";
import { useService } from "../../model/hooks";

/** Changes the labels of a service. */
export function LabelsDialog({ id }: { id: string }) {
  const s = useService(id);
  const [first] = useState(s); // it may change or go while the dialog is open
  const [text, setText] = useState(labelText(first?.labels ?? []));
  // The server names one of the labels that are set; they are in one field here.
  const form = useSubmission(["labels"], (field) => (/^(set|remove)\b/.test(field) ? "labels" : field));
  const input = useRef<HTMLTextAreaElement>(null);
  const name = first?.name ?? "this service";
  return (
    <FormDialog
      title={<>Labels of {name}</>}
      description="For filters and for people. Changing them does not touch the service."
      verb="Save"
      look="primary"
      busy={form.busy}
      problem={form.problems[""]}
      initialFocus={input}
      onClose={dialogs.close}
      onSubmit={() =>
        void form.submit(
          () => ({}),
          async () => {
            await run(SetLabels, { id, ...labelChange(first?.labels ?? [], labelsIn(text)) });
            dialogs.close();
            toast.done(`The labels of ${name} are saved`);
          },
        )
      }
    >
      <Field label="Labels" hint="One per line, such as team=shop." error={form.problems.labels}>
        {(wiring) => (
          <TextArea
            {...wiring}
            ref={input}
            rows={6}
            value={text}
            onChange={(e) => {
              setText(e.target.value);
              form.changed("labels");
            }}
            className="font-mono"
          />
        )}
      </Field>
    </FormDialog>
  );
}
