import { useState } from "react";
import { ConfirmDialog } from "../../components/ConfirmDialog";
import { run } from "../../graphql/client";
import { EventsPage, Rotate } from "../../graphql/documents";
import { sentence } from "../../lib/format";
import { toast } from "../../lib/toast";
import { dialogs } from "../../model/dialogs";
import { useService } from "../../model/hooks";
import { waitUntil } from "./actions";

/** Rotates the credentials of a service, and shows the result when it is known. */
export function RotateDialog({ id }: { id: string }) {
  const s = useService(id);
  const [last] = useState(s); // it may go while the dialog is open
  const name = (s ?? last)?.name ?? "this service";
  return (
    <ConfirmDialog
      onClose={dialogs.close}
      title={<>Change the credentials of {name}?</>}
      description="Creates new secrets. The old ones stop working, so update every client that uses them. Some engines restart. Data is kept."
      verb="Change credentials"
      look="primary"
      act={async () => {
        await run(Rotate, { id });
        dialogs.close();
        void showResult(id, name);
      }}
    />
  );
}

/** Shows the result of a rotation, which is the reason code of its last event. */
async function showResult(id: string, name: string) {
  await waitUntil(id, (s) => !s || s.rotating, 2_000); // a quick one may be over before we see it
  if (!(await waitUntil(id, (s) => !s?.rotating, 10 * 60_000))) {
    toast.info(`The credentials of ${name} are still being changed`, "See its events.");
    return;
  }
  try {
    const { events } = await run(EventsPage, { filter: { serviceId: id }, first: 20 });
    const end = events.nodes.find((e) => /^(ROTATED|ROTATION_FAILED)$/.test(e.reasonCode ?? ""));
    if (end?.reasonCode === "ROTATED") toast.done(`The credentials of ${name} are changed`, sentence(end.reason));
    else if (end) toast.failed(`The credentials of ${name} are not changed`, sentence(end.reason));
  } catch (error) {
    toast.failed(`Could not find out whether the credentials of ${name} were changed`, error);
  }
}
