import { ConfirmDialog } from "../../components/ConfirmDialog";
import { client, run } from "../../graphql/client";
import { DeleteRetained, Retained } from "../../graphql/documents";
import { toast } from "../../lib/toast";
import { dialogs } from "../../model/dialogs";

/** Deletes retained data after its name was typed. */
export function DeleteRetainedDialog({ id, name }: { id: string; name: string }) {
  return (
    <ConfirmDialog
      title={<>Delete the data of {name}?</>}
      description="Deletes the data and its credentials. There is no backup, and this cannot be undone."
      verb="Delete data"
      look="danger"
      typed={name}
      finalFocus={() => document.querySelector<HTMLElement>("h1")}
      onClose={dialogs.close}
      act={async () => {
        await run(DeleteRetained, { id });
        dialogs.close();
        toast.done(`The data of ${name} is being deleted`, "Its name can be used again when it is gone.");
        void client.query(Retained, {}, { requestPolicy: "network-only" }).toPromise();
      }}
    />
  );
}
