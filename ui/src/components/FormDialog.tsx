import type { ReactNode, RefObject } from "react";
import { Button } from "./Button";
import { Dialog, DialogActions } from "./Dialog";
import { Problem } from "./Field";

interface Props {
  title: ReactNode;
  description: ReactNode;
  /** The label of the button that submits. */
  verb: string;
  look: "primary" | "danger";
  busy: boolean;
  /** An error that is not about one field. */
  problem: string | undefined;
  initialFocus: RefObject<HTMLElement | null>;
  finalFocus?: (() => HTMLElement | null) | undefined;
  /** Is set to the button Cancel. */
  cancel?: RefObject<HTMLButtonElement | null> | undefined;
  wide?: boolean;
  /** The fields. */
  children?: ReactNode;
  onClose: () => void;
  onSubmit: () => void;
}

/** A dialog with a form, and the buttons Cancel and the one that submits it. */
export function FormDialog({
  title,
  description,
  verb,
  look,
  busy,
  problem,
  initialFocus,
  finalFocus,
  cancel,
  wide,
  children,
  onClose,
  onSubmit,
}: Props) {
  return (
    <Dialog
      open
      onClose={onClose}
      title={title}
      description={description}
      initialFocus={initialFocus}
      {...(wide && { wide })}
      {...(finalFocus && { finalFocus })}
    >
      <form
        noValidate
        className="mt-4"
        onSubmit={(event) => {
          event.preventDefault();
          onSubmit();
        }}
      >
        {children}
        {problem && <Problem className="mt-3">{problem}</Problem>}
        <DialogActions>
          <Button {...(cancel && { ref: cancel })} onClick={onClose}>
            Cancel
          </Button>
          <Button look={look} type="submit" busy={busy}>
            {verb}
          </Button>
        </DialogActions>
      </form>
    </Dialog>
  );
}
