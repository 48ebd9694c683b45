import { type ReactNode, useEffect, useRef } from "react";
import { Button } from "../../components/Button";
import { CopyButton } from "../../components/Copy";
import { Dialog, DialogActions } from "../../components/Dialog";
import { dialogs } from "../../model/dialogs";

interface Props {
  title: ReactNode;
  description: string;
  text: string;
  what: string;
}

/** A secret, shown once, until somebody says to have it. */
export function SecretDialog({ title, description, text, what }: Props) {
  return (
    <Dialog open mustAnswer onClose={dialogs.close} title={title} description={description}>
      <Secret text={text} what={what} />
      <DialogActions>
        <Button look="primary" onClick={dialogs.close}>
          Done
        </Button>
      </DialogActions>
    </Dialog>
  );
}

/** It has the focus, so that it can be copied at once. */
function Secret({ text, what }: { text: string; what: string }) {
  const ref = useRef<HTMLElement>(null);
  useEffect(() => ref.current?.focus(), []);
  return (
    <div className="mt-4 flex items-center gap-1 rounded-md border border-line bg-page py-1.5 pr-1 pl-3">
      <code
        ref={ref}
        tabIndex={-1}
        data-secret
        className="min-w-0 flex-1 font-mono text-[0.8125rem] select-all [overflow-wrap:anywhere]"
      >
        {text}
      </code>
      <CopyButton text={text} what={what} />
    </div>
  );
}
