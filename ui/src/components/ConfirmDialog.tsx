import { type ReactNode, type RefObject, useRef, useState } from "react";
import { useSubmission } from "../lib/form";
import { Field, Input } from "./Field";
import { FormDialog } from "./FormDialog";

interface Props {
  title: ReactNode;
  description: ReactNode;
  /** The label of the button that does it. */
  verb: string;
  look: "primary" | "danger";
  /** A name that must be typed first. */
  typed?: string | undefined;
  /** Where the focus begins: the input for the name or Cancel if this is left out. */
  initialFocus?: RefObject<HTMLElement | null> | undefined;
  finalFocus?: () => HTMLElement | null;
  /** What can be chosen, between the description and the buttons. */
  children?: ReactNode;
  onClose: () => void;
  /** Does it, and closes the dialog. If it throws, the dialog shows the error. */
  act: () => Promise<void>;
}

/** Asks for confirmation before something is removed, deleted or changed. */
export function ConfirmDialog({
  title,
  description,
  verb,
  look,
  typed: name,
  initialFocus,
  finalFocus,
  children,
  onClose,
  act,
}: Props) {
  const [typed, setTyped] = useState("");
  const form = useSubmission(["typed"]);
  const cancel = useRef<HTMLButtonElement>(null);
  const input = useRef<HTMLInputElement>(null);
  return (
    <FormDialog
      title={title}
      description={description}
      verb={verb}
      look={look}
      busy={form.busy}
      problem={form.problems[""]}
      initialFocus={initialFocus ?? (name === undefined ? cancel : input)}
      finalFocus={finalFocus}
      cancel={cancel}
      onClose={onClose}
      onSubmit={() =>
        void form.submit(() => ({ typed: name !== undefined && typed !== name ? `Type ${name} to confirm.` : "" }), act)
      }
    >
      {children}
      {name !== undefined && (
        <div className="mt-4">
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
        </div>
      )}
    </FormDialog>
  );
}
