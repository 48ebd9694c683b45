import { run } from "../../graphql/client";
import { UpdateNode, type UwsNode } from "../../graphql/documents";
import { live } from "../../graphql/live";
import { toast } from "../../lib/toast";

/** Starts or stops draining a node. A draining node takes no new services. */
export async function drainNode({ id, name }: UwsNode, draining: boolean) {
  try {
    const { updateNode } = await run(UpdateNode, { id, input: { draining } });
    live.apply({ nodes: [updateNode] });
    if (draining) toast.done(`${name} is draining`, "It takes no new services. Running services stay.");
    else toast.done(`${name} takes new services again`);
  } catch (error) {
    toast.failed(draining ? `Could not drain ${name}` : `Could not stop draining ${name}`, error);
  }
}
