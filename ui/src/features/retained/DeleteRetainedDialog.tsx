import { type FormEvent, useRef, useState } from "react";
import { Button } from "../../components/Button";
import { Dialog, DialogActions } from "../../components/Dialog";
import { Field, Input, Problem } from "../../components/Field";
import { client, run } from "../../graphql/client";
import { DeleteRetained, Retained } from "../../graphql/documents";
import { dialogs } from "../../lib/dialogs";
import { useSubmission } from "../../lib/form";
import { toast } from "../../lib/toast";

/** Deletes kept data for ever, once its name was typed. */
export function DeleteRetainedDialog({ id, name }: { id: string; name: string }) {
  const [typed, setTyped] = useState("");
  const form = useSubmission(["typed"]);
  const input = useRef<HTMLInputElement>(null);
  const submit = (event: FormEvent) => {
    event.preventDefault();
    void form.submit(
      () => ({ typed: typed === name ? "" : `Type ${name} to delete its data for ever.` }),
      async () => {
        await run(DeleteRetained, { id });
        dialogs.close();
        toast.done(`The data of ${name} is deleted`, "Its name is free again.");
        void client.query(Retained, {}, { requestPolicy: "network-only" }).toPromise();
      },
    );
  };
  return (
    <Dialog
      open
      onClose={dialogs.close}
      title={<>Delete the data of {name}?</>}
      description="Data and credentials are deleted for ever. There is no backup, and this cannot be undone."
      initialFocus={input}
      finalFocus={() => document.querySelector<HTMLElement>("h1")}
    >
      <form onSubmit={submit} noValidate className="mt-4">
        <Field
          label={
            <>
              Type <span className="font-mono font-semibold">{name}</span> to confirm
            </>
          }
          error={form.problems.typed}
        >
          {(wiring) => (
            <Input
              {...wiring}
              ref={input}
              value={typed}
              onChange={(e) => {
                setTyped(e.target.value);
                form.changed("typed");
              }}
              className="font-mono"
            />
          )}
        </Field>
        {form.problems[""] && <Problem className="mt-3">{form.problems[""]}</Problem>}
        <DialogActions>
          <Button onClick={dialogs.close}>Cancel</Button>
          <Button look="danger" type="submit" busy={form.busy}>
            Delete for ever
          </Button>
        </DialogActions>
      </form>
    </Dialog>
  );
}
