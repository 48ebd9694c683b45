import type { BackupDialog } from "../../../model/dialogs";
import { BackUpDialog } from "./BackUpDialog";
import { ContentsDialog } from "./ContentsDialog";
import { CreateTargetDialog } from "./CreateTargetDialog";
import { DeleteBackupDialog, DeletePolicyDialog, DeleteTargetDialog } from "./DeleteDialogs";
import { ImportTargetDialog } from "./ImportTargetDialog";
import { KitDialog } from "./KitDialog";
import { MoveDialog } from "./MoveDialog";
import { PolicyDialog } from "./PolicyDialog";
import { RestoreDialog } from "./RestoreDialog";
import { SwapDialog } from "./SwapDialog";

/** The dialog about backups that is open. */
export default function Dialogs({ open }: { open: BackupDialog }) {
  switch (open.type) {
    case "backUp":
      return <BackUpDialog serviceId={open.serviceId} />;
    case "restore":
      return <RestoreDialog serviceId={open.serviceId} backupId={open.backupId} />;
    case "move":
      return <MoveDialog serviceId={open.serviceId} />;
    case "swap":
      return <SwapDialog serviceId={open.serviceId} />;
    case "contents":
      return <ContentsDialog backupId={open.backupId} />;
    case "deleteBackup":
      return <DeleteBackupDialog id={open.backupId} name={open.serviceName} at={open.at} />;
    case "policy":
      return <PolicyDialog serviceId={open.serviceId} policyId={open.policyId} />;
    case "deletePolicy":
      return <DeletePolicyDialog id={open.policyId} of={open.of} />;
    case "createTarget":
      return <CreateTargetDialog />;
    case "importTarget":
      return <ImportTargetDialog />;
    case "recoveryKit":
      return <KitDialog id={open.targetId} name={open.name} />;
    case "deleteTarget":
      return <DeleteTargetDialog id={open.targetId} name={open.name} />;
  }
}
