import { useCallback, useRef, useState } from "react";
import { Field, Select } from "../../../components/Field";
import { FormDialog } from "../../../components/FormDialog";
import { run } from "../../../graphql/client";
import { graphql } from "../../../graphql/graphql";
import { useSubmission } from "../../../lib/form";
import { dialogs } from "../../../model/dialogs";
import { useNodes, useService } from "../../../model/hooks";
import { backupsChanged, usePlaces } from "../data";
import { PlanSection, usePlan } from "./Plan";
import { TargetSelect } from "./TargetSelect";

const MoveService = graphql(`
  mutation MoveService($id: ID!, $nodeId: ID!, $targetId: ID!, $confirm: Boolean!) {
    moveService(id: $id, nodeId: $nodeId, targetId: $targetId, confirm: $confirm) { restore { id } steps warnings }
  }
`);

/** Moves a service with its data to another node, once what that does was shown. */
export function MoveDialog({ serviceId }: { serviceId: string }) {
  const s = useService(serviceId);
  const name = s?.name ?? "this service";
  const nodes = useNodes().filter((n) => n.id !== s?.node?.id);
  const targets = usePlaces().data?.targets ?? [];
  const [node, setNode] = useState("");
  const [target, setTarget] = useState("");
  const first = useRef<HTMLSelectElement>(null);
  const form = useSubmission(["nodeId", "targetId"]);
  const nodeId = node || (nodes[0]?.id ?? "");
  const targetId = target || (targets[0]?.id ?? "");
  const move = useCallback(
    async (confirm: boolean) => (await run(MoveService, { id: serviceId, nodeId, targetId, confirm })).moveService,
    [serviceId, nodeId, targetId],
  );
  const shown = usePlan(nodeId && targetId ? move : undefined);
  return (
    <FormDialog
      title={<>Move {name} to another node</>}
      description="Its id, name and credentials stay. It cannot be reached while its data is copied."
      verb="Stop and move"
      look="danger"
      busy={form.busy}
      problem={form.problems[""]}
      initialFocus={first}
      onClose={dialogs.close}
      onSubmit={() =>
        void form.submit(
          () => ({
            nodeId: nodeId ? "" : "There is no other node. Register one first.",
            targetId: targetId ? "" : "There is no backup target. Make one first.",
          }),
          async () => {
            await move(true);
            dialogs.close();
            backupsChanged();
          },
        )
      }
    >
      <Field label="Node" error={form.problems.nodeId}>
        {(wiring) => (
          <Select {...wiring} ref={first} value={nodeId} onChange={(e) => setNode(e.target.value)}>
            {nodes.map((n) => (
              <option key={n.id} value={n.id} disabled={!n.healthy || n.draining}>
                {n.name}
              </option>
            ))}
          </Select>
        )}
      </Field>
      <Field label="Backup target that its data goes through" error={form.problems.targetId}>
        {(wiring) => (
          <TargetSelect {...wiring} targets={targets} value={targetId} onChange={(e) => setTarget(e.target.value)} />
        )}
      </Field>
      {nodeId && targetId && <PlanSection {...shown} />}
    </FormDialog>
  );
}
