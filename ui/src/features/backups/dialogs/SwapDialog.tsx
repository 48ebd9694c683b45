import { useCallback, useRef, useState } from "react";
import { Field, Select } from "../../../components/Field";
import { FormDialog } from "../../../components/FormDialog";
import { run } from "../../../graphql/client";
import { graphql } from "../../../graphql/graphql";
import { live } from "../../../graphql/live";
import { useSubmission } from "../../../lib/form";
import { toast } from "../../../lib/toast";
import { dialogs } from "../../../model/dialogs";
import { useService, useServiceIds } from "../../../model/hooks";
import { notifyWhenUp } from "../../services/actions";
import { PlanSection, usePlan } from "./Plan";

const SwapServices = graphql(`
  mutation SwapServices($a: ID!, $b: ID!, $confirm: Boolean!) {
    swapServices(a: $a, b: $b, confirm: $confirm) { begun steps warnings }
  }
`);

/** Gives the clients of a service another one with the same engine, once what that does was shown. */
export function SwapDialog({ serviceId }: { serviceId: string }) {
  const s = useService(serviceId);
  const name = s?.name ?? "this service";
  const ids = useServiceIds({ kind: s?.kind, nodeId: s?.node?.id, sort: "name", descending: false });
  const others = ids
    .map((id) => live.service(id))
    .filter((o) => o !== undefined)
    .filter((o) => o.id !== serviceId && o.template.name === s?.template.name);
  const [chosen, setChosen] = useState("");
  const first = useRef<HTMLSelectElement>(null);
  const form = useSubmission(["b"]);
  const b = chosen || (others[0]?.id ?? "");
  const swap = useCallback(
    async (confirm: boolean) => (await run(SwapServices, { a: serviceId, b, confirm })).swapServices,
    [serviceId, b],
  );
  const shown = usePlan(b ? swap : undefined);
  return (
    <FormDialog
      title={<>Exchange {name} for another service</>}
      description="The two exchange their names and ports, so that clients reach the other one. This one is stopped and keeps its data."
      verb="Exchange"
      look="danger"
      busy={form.busy}
      problem={form.problems[""]}
      initialFocus={first}
      onClose={dialogs.close}
      onSubmit={() =>
        void form.submit(
          () => ({ b: b ? "" : "There is no other service with this engine on the node." }),
          async () => {
            await swap(true);
            dialogs.close();
            toast.info(`Exchanging ${name}`);
            void notifyWhenUp(b, name);
          },
        )
      }
    >
      <Field label="Service that clients are to reach" error={form.problems.b}>
        {(wiring) => (
          <Select {...wiring} ref={first} value={b} onChange={(e) => setChosen(e.target.value)}>
            {others.length === 0 && <option value="">There is no other service with this engine on the node</option>}
            {others.map((o) => (
              <option key={o.id} value={o.id}>
                {o.name}
              </option>
            ))}
          </Select>
        )}
      </Field>
      {b && <PlanSection {...shown} />}
    </FormDialog>
  );
}
