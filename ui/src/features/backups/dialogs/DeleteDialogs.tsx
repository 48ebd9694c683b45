import { ConfirmDialog } from "../../../components/ConfirmDialog";
import { run } from "../../../graphql/client";
import { toast } from "../../../lib/toast";
import { dialogs } from "../../../model/dialogs";
import { backupsChanged } from "../data";
import { DeleteBackup, DeletePolicy, DeleteTarget } from "../documents";

const heading = () => document.querySelector<HTMLElement>("h1, aside h2");

/** Deletes a backup after it was confirmed. */
export function DeleteBackupDialog({ id, name, at }: { id: string; name: string; at: string }) {
  return (
    <ConfirmDialog
      title={<>Delete this backup of {name}?</>}
      description={`The backup of ${at} is deleted, and this cannot be undone. Its space is free again within two days.`}
      verb="Delete backup"
      look="danger"
      finalFocus={heading}
      onClose={dialogs.close}
      act={async () => {
        await run(DeleteBackup, { id });
        dialogs.close();
        backupsChanged();
        toast.done("The backup is being deleted");
      }}
    />
  );
}

export function DeletePolicyDialog({ id, of }: { id: string; of: string }) {
  return (
    <ConfirmDialog
      title={<>Delete the policy of {of}?</>}
      description="No backups are taken for it any more, unless another policy applies. The backups that there are stay until they are deleted by hand."
      verb="Delete policy"
      look="danger"
      finalFocus={heading}
      onClose={dialogs.close}
      act={async () => {
        await run(DeletePolicy, { id });
        dialogs.close();
        backupsChanged();
        toast.done(`The policy of ${of} is deleted`, "Its backups stay.");
      }}
    />
  );
}

export function DeleteTargetDialog({ id, name }: { id: string; name: string }) {
  return (
    <ConfirmDialog
      title={<>Delete the target {name}?</>}
      description="uws forgets the target and its backups. What is stored there stays: with the recovery kit it can be taken over again. Without the kit it is lost."
      verb="Delete target"
      look="danger"
      typed={name}
      finalFocus={heading}
      onClose={dialogs.close}
      act={async () => {
        await run(DeleteTarget, { id });
        dialogs.close();
        backupsChanged();
        toast.done(`The target ${name} is deleted`, "What is stored there stays.");
      }}
    />
  );
}
