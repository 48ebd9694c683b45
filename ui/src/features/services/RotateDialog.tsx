import { useState } from "react";
import { run } from "../../graphql/client";
import { EventsPage, Rotate } from "../../graphql/documents";
import { settle } from "../../lib/actions";
import { dialogs } from "../../lib/dialogs";
import { useService } from "../../lib/hooks";
import { toast } from "../../lib/toast";
import { sentence } from "../../lib/words";
import { Confirm } from "../Confirm";

/** Has the secrets of a service made anew, and tells how that went when it is over. */
export function RotateDialog({ id }: { id: string }) {
  const s = useService(id);
  const [last] = useState(s); // it may go while the dialog is open
  const name = (s ?? last)?.name ?? "this service";
  return (
    <Confirm
      title={<>Change the credentials of {name}?</>}
      description="New secrets are made, and the old ones are refused from then on: whatever logs in with them must be told the new ones. Some engines are restarted for it. Data stays."
      verb="Change credentials"
      look="primary"
      act={async () => {
        await run(Rotate, { id });
        dialogs.close();
        void tellHowItWent(id, name);
      }}
    />
  );
}

/** A rotation ends with an event that says whether it was done or given up. */
async function tellHowItWent(id: string, name: string) {
  await settle(id, (s) => !s || s.rotating, 2_000); // a quick one may be over before we see it
  if (!(await settle(id, (s) => !s?.rotating, 10 * 60_000))) {
    toast.info(`The credentials of ${name} are still being changed`, "Its events say how that goes.");
    return;
  }
  try {
    const { events } = await run(EventsPage, { filter: { serviceId: id }, first: 20 });
    const end = events.nodes.find((e) => /^(credentials rotated|rotation given up)/.test(e.reason));
    if (end?.reason.startsWith("credentials"))
      toast.done(`The credentials of ${name} are changed`, sentence(end.reason));
    else if (end) toast.failed(`The credentials of ${name} are not changed`, sentence(end.reason));
  } catch (error) {
    toast.failed(`Whether the credentials of ${name} are changed is not known`, error);
  }
}
