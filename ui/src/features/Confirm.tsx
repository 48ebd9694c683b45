import { type ReactNode, useRef } from "react";
import { Button } from "../components/Button";
import { Dialog, DialogActions } from "../components/Dialog";
import { Problem } from "../components/Field";
import { dialogs } from "../lib/dialogs";
import { useSubmission } from "../lib/form";

interface Props {
  title: ReactNode;
  description: string;
  verb: string;
  look: "primary" | "danger";
  finalFocus?: () => HTMLElement | null;
  /** Does it, and closes the dialog; what it throws is shown. */
  act: () => Promise<void>;
}

/** Asks once more before something is done. */
export function Confirm({ title, description, verb, look, finalFocus, act }: Props) {
  const form = useSubmission([]);
  const cancel = useRef<HTMLButtonElement>(null);
  return (
    <Dialog
      open
      onClose={dialogs.close}
      title={title}
      description={description}
      initialFocus={cancel}
      {...(finalFocus && { finalFocus })}
    >
      <form
        noValidate
        onSubmit={(event) => {
          event.preventDefault();
          void form.submit(() => ({}), act);
        }}
      >
        {form.problems[""] && <Problem className="mt-3">{form.problems[""]}</Problem>}
        <DialogActions>
          <Button ref={cancel} onClick={dialogs.close}>
            Cancel
          </Button>
          <Button look={look} type="submit" busy={form.busy}>
            {verb}
          </Button>
        </DialogActions>
      </form>
    </Dialog>
  );
}
