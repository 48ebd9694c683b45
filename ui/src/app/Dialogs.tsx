import { lazyPart } from "../components/Lazy";
import { CreateTokenDialog } from "../features/access/CreateTokenDialog";
import { LoginLinkDialog } from "../features/access/LoginLinkDialog";
import { RevokeDialog } from "../features/access/RevokeDialog";
import { RegisterNodeDialog } from "../features/nodes/RegisterNodeDialog";
import { RemoveNodeDialog } from "../features/nodes/RemoveNodeDialog";
import { DeleteRetainedDialog } from "../features/retained/DeleteRetainedDialog";
import { LabelsDialog } from "../features/services/LabelsDialog";
import { LaunchDialog } from "../features/services/LaunchDialog";
import { RemoveDialog } from "../features/services/RemoveDialog";
import { RotateDialog } from "../features/services/RotateDialog";
import { SeparateDialog } from "../features/services/SeparateDialog";
import { type BackupDialog, dialogs, type Open } from "../model/dialogs";
import { HelpDialog } from "./HelpDialog";
import { NavDialog } from "./NavDialog";

const BackupDialogs = lazyPart<{ open: BackupDialog }>(
  () => import("../features/backups/dialogs/Dialogs").then((m) => m.default),
  () => null,
  dialogs.close,
);

/** The dialog that is open. Loaded when the first one is. */
export default function Dialogs({ open }: { open: Open }) {
  switch (open.type) {
    case "launch":
      return <LaunchDialog kind={open.kind} reattach={open.reattach} />;
    case "remove":
      return <RemoveDialog id={open.id} />;
    case "rotate":
      return <RotateDialog id={open.id} />;
    case "labels":
      return <LabelsDialog id={open.id} />;
    case "separate":
      return <SeparateDialog id={open.id} />;
    case "register":
      return <RegisterNodeDialog />;
    case "removeNode":
      return <RemoveNodeDialog id={open.id} />;
    case "deleteRetained":
      return <DeleteRetainedDialog id={open.id} name={open.name} />;
    case "createToken":
      return <CreateTokenDialog />;
    case "loginLink":
      return <LoginLinkDialog />;
    case "revokeToken":
    case "revokeSession":
      return <RevokeDialog of={open} />;
    case "backup":
      return <BackupDialogs open={open.of} />;
    case "help":
      return <HelpDialog />;
    case "nav":
      return <NavDialog />;
  }
}
