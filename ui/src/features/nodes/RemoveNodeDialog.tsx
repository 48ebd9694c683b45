import { useState } from "react";
import { ConfirmDialog } from "../../components/ConfirmDialog";
import { run } from "../../graphql/client";
import { RemoveNode } from "../../graphql/documents";
import { live } from "../../graphql/live";
import { plural } from "../../lib/format";
import { toast } from "../../lib/toast";
import { dialogs } from "../../model/dialogs";
import { useNodes, useServicesOn } from "../../model/hooks";

/** Removes a node. If it is in use, it can only be forgotten, which is for machines that will not come back. */
export function RemoveNodeDialog({ id }: { id: string }) {
  const [last] = useState(() => live.node(id));
  const node = useNodes().find((n) => n.id === id) ?? last;
  const name = node?.name ?? "this node";
  const services = useServicesOn(id);
  const forget = !node?.allowedActions.includes("REMOVE");
  return (
    <ConfirmDialog
      title={<>Remove {name}?</>}
      description={
        forget
          ? `${services > 0 ? `${plural(services, "service runs", "services run")} on this node` : "Data of services is on this node"}. Forgetting it removes the node together with its services, and works only while the node is unreachable. Data and credentials stay listed under Retained data. If you register the same engine again, you can adopt what still runs on it.`
          : "The node has no services and no retained data. You can register it again at any time."
      }
      verb={forget ? "Forget and remove" : "Remove node"}
      look="danger"
      typed={forget ? name : undefined}
      onClose={dialogs.close}
      act={async () => {
        await run(RemoveNode, { id, forget });
        live.apply({ goneNodes: [id] });
        dialogs.close();
        toast.done(
          `${name} is removed`,
          forget
            ? `${services > 0 ? `${plural(services, "service was", "services were")} forgotten. ` : ""}See Retained data.`
            : undefined,
        );
      }}
    />
  );
}
