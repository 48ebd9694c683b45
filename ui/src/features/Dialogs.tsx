import type { Open } from "../lib/dialogs";
import { CreateTokenDialog } from "./access/CreateTokenDialog";
import { LoginLinkDialog } from "./access/LoginLinkDialog";
import { RevokeDialog } from "./access/RevokeDialog";
import { HelpDialog } from "./HelpDialog";
import { NavDialog } from "./NavDialog";
import { RegisterNodeDialog } from "./nodes/RegisterNodeDialog";
import { RemoveNodeDialog } from "./nodes/RemoveNodeDialog";
import { DeleteRetainedDialog } from "./retained/DeleteRetainedDialog";
import { LaunchDialog } from "./services/LaunchDialog";
import { RemoveDialog } from "./services/RemoveDialog";
import { RotateDialog } from "./services/RotateDialog";

/** The dialog that is open. Loaded when the first one is. */
export default function Dialogs({ open }: { open: Open }) {
  switch (open.type) {
    case "launch":
      return <LaunchDialog kind={open.kind} reattach={open.reattach} />;
    case "remove":
      return <RemoveDialog id={open.id} />;
    case "rotate":
      return <RotateDialog id={open.id} />;
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
    case "help":
      return <HelpDialog />;
    case "nav":
      return <NavDialog />;
  }
}
