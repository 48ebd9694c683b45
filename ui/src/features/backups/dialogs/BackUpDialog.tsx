import { useRef, useState } from "react";
import { Field } from "../../../components/Field";
import { FormDialog } from "../../../components/FormDialog";
import { run } from "../../../graphql/client";
import { useSubmission } from "../../../lib/form";
import { dialogs } from "../../../model/dialogs";
import { useService } from "../../../model/hooks";
import { backupsChanged, usePlaces } from "../data";
import { BackUp } from "../documents";
import { TargetSelect } from "./TargetSelect";

/** Begins a backup of a service that no policy applies to: where to is asked. */
export function BackUpDialog({ serviceId }: { serviceId: string }) {
  const name = useService(serviceId)?.name ?? "this service";
  const targets = usePlaces().data?.targets ?? [];
  const [chosen, setChosen] = useState("");
  const form = useSubmission(["targetId"]);
  const select = useRef<HTMLSelectElement>(null);
  const targetId = chosen || (targets[0]?.id ?? "");
  return (
    <FormDialog
      title={<>Back up {name}</>}
      description="No policy applies to the service. The backup is kept until it is deleted by hand."
      verb="Back up"
      look="primary"
      busy={form.busy}
      problem={form.problems[""]}
      initialFocus={select}
      onClose={dialogs.close}
      onSubmit={() =>
        void form.submit(
          () => ({ targetId: targetId ? "" : "Choose a target." }),
          async () => {
            await run(BackUp, { id: serviceId, targetId });
            dialogs.close();
            backupsChanged();
          },
        )
      }
    >
      <Field label="Where to" error={form.problems.targetId}>
        {(wiring) => (
          <TargetSelect
            {...wiring}
            ref={select}
            targets={targets}
            value={targetId}
            onChange={(e) => {
              setChosen(e.target.value);
              form.changed("targetId");
            }}
          />
        )}
      </Field>
    </FormDialog>
  );
}
