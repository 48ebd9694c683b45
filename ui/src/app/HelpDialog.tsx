import { Fragment } from "react";
import { Button } from "../components/Button";
import { Dialog, DialogActions } from "../components/Dialog";
import { dialogs } from "../model/dialogs";
import { can } from "../model/session";
import { shortcuts } from "./keys";

export function HelpDialog() {
  const shown = shortcuts.filter(({ permission }) => !permission || can(permission));
  return (
    <Dialog
      open
      onClose={dialogs.close}
      title="Keyboard shortcuts"
      description="They work everywhere except in text fields."
    >
      <dl className="mt-4 grid grid-cols-[auto_minmax(0,1fr)] items-center gap-x-5 gap-y-2.5">
        {shown.map(({ keys, what }) => (
          <Fragment key={what}>
            <dt className="flex gap-1">
              {keys.map((key) => (
                <kbd
                  key={key}
                  className="min-w-7 rounded-md border border-line bg-sunken px-1.5 py-0.5 text-center font-mono text-xs"
                >
                  {key}
                </kbd>
              ))}
            </dt>
            <dd className="text-muted">{what}</dd>
          </Fragment>
        ))}
      </dl>
      <DialogActions>
        <Button onClick={dialogs.close}>Close</Button>
      </DialogActions>
    </Dialog>
  );
}
