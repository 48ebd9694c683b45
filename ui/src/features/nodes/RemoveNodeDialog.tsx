import { type FormEvent, useRef, useState } from "react";
import { Button } from "../../components/Button";
import { Dialog, DialogActions } from "../../components/Dialog";
import { Field, Input, Problem } from "../../components/Field";
import { run } from "../../graphql/client";
import { RemoveNode } from "../../graphql/documents";
import { live } from "../../graphql/live";
import { dialogs } from "../../lib/dialogs";
import { useSubmission } from "../../lib/form";
import { useServicesOn } from "../../lib/hooks";
import { toast } from "../../lib/toast";
import { plural } from "../../lib/words";

/** Removes a node. One with services can only be forgotten, which is for machines that are gone for ever. */
export function RemoveNodeDialog({ id }: { id: string }) {
  const [node] = useState(() => live.node(id));
  const [typed, setTyped] = useState("");
  const form = useSubmission(["typed"]);
  const cancel = useRef<HTMLButtonElement>(null);
  const name = node?.name ?? "this node";
  const services = useServicesOn(id);
  const forget = services > 0;
  const submit = (event: FormEvent) => {
    event.preventDefault();
    void form.submit(
      () => ({ typed: forget && typed !== name ? `Type ${name} to abandon its services.` : "" }),
      async () => {
        await run(RemoveNode, { id, forget });
        live.apply({ goneNodes: [id] });
        dialogs.close();
        toast.done(
          `${name} is removed`,
          forget ? `${plural(services, "service was", "services were")} abandoned.` : undefined,
        );
      },
    );
  };
  return (
    <Dialog
      open
      onClose={dialogs.close}
      title={<>Remove {name}?</>}
      initialFocus={cancel}
      description={
        forget
          ? `${plural(services, "service lives", "services live")} there. To remove the node now is to abandon them: uws forgets them, and what still runs there is left alone. This is for machines that are gone for ever.`
          : "No service lives there. It can be registered again at any time."
      }
    >
      <form onSubmit={submit} noValidate className="mt-4">
        {forget && (
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
                value={typed}
                onChange={(e) => {
                  setTyped(e.target.value);
                  form.changed("typed");
                }}
                className="font-mono"
              />
            )}
          </Field>
        )}
        {form.problems[""] && <Problem className="mt-3">{form.problems[""]}</Problem>}
        <DialogActions>
          <Button ref={cancel} onClick={dialogs.close}>
            Cancel
          </Button>
          <Button look="danger" type="submit" busy={form.busy}>
            {forget ? "Abandon and remove" : "Remove node"}
          </Button>
        </DialogActions>
      </form>
    </Dialog>
  );
}
