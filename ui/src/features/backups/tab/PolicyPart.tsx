import { Pause, Pencil, Play, Trash2 } from "lucide-react";
import { useState } from "react";
import { Button } from "../../../components/Button";
import type { Service } from "../../../graphql/documents";
import { toast } from "../../../lib/toast";
import { dialogs } from "../../../model/dialogs";
import { can } from "../../../model/session";
import type { OfService } from "../data";
import type { Policy, ServiceBackup } from "../documents";
import { PolicyFacts } from "../PolicyFacts";
import { setPolicy } from "../policy";

/** The policy that applies to a service: its own, which can be changed here, or a default, which one of its own replaces. */
export function PolicyPart({ s, data, status }: { s: Service; data: OfService; status: ServiceBackup }) {
  const policy = data.policies.find((p) => p.id === status.policyId);
  const own = policy?.serviceId === s.id;
  const edit = (policyId?: string) =>
    dialogs.open({ type: "backup", of: { type: "policy", serviceId: s.id, policyId } });
  return (
    <section aria-labelledby="policy">
      <h3 id="policy" className="mb-2 font-medium">
        Policy
      </h3>
      {policy ? (
        <div className="rounded-lg border border-line p-3.5" data-policy={own ? "own" : "default"}>
          <p className="mb-2 text-muted">
            {own ? "A policy of its own." : "A default, which applies because the service has no policy of its own."}
          </p>
          <PolicyFacts policy={policy} targets={data.targets} />
          {can("backUp") && (
            <div className="mt-3 flex flex-wrap gap-2">
              {own ? (
                <OwnActions policy={policy} of={s.name} edit={() => edit(policy.id)} />
              ) : (
                <Button small onClick={() => edit()}>
                  Set one of its own
                </Button>
              )}
            </div>
          )}
        </div>
      ) : (
        <p className="flex flex-wrap items-center gap-3 text-muted">
          <span>No policy applies.</span>
          {can("backUp") && data.targets.length > 0 && (
            <Button small onClick={() => edit()}>
              Set one up
            </Button>
          )}
        </p>
      )}
    </section>
  );
}

function OwnActions({ policy, of, edit }: { policy: Policy; of: string; edit: () => void }) {
  const [busy, setBusy] = useState(false);
  const pause = async () => {
    setBusy(true);
    try {
      await setPolicy(policy.id, { ...policy, paused: !policy.paused });
    } catch (error) {
      toast.failed("The policy was not changed", error);
    } finally {
      setBusy(false);
    }
  };
  return (
    <>
      <Button small icon={<Pencil size={14} aria-hidden="true" />} onClick={edit}>
        Change…
      </Button>
      <Button
        small
        busy={busy}
        icon={policy.paused ? <Play size={14} aria-hidden="true" /> : <Pause size={14} aria-hidden="true" />}
        onClick={() => void pause()}
      >
        {policy.paused ? "Resume" : "Pause"}
      </Button>
      <Button
        small
        look="danger-plain"
        icon={<Trash2 size={14} aria-hidden="true" />}
        onClick={() => dialogs.open({ type: "backup", of: { type: "deletePolicy", policyId: policy.id, of } })}
      >
        Delete…
      </Button>
    </>
  );
}
