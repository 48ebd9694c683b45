import { Link } from "@tanstack/react-router";
import { Pencil, Plus, Trash2 } from "lucide-react";
import { Button } from "../../../components/Button";
import { plural } from "../../../lib/format";
import { dialogs } from "../../../model/dialogs";
import { useService } from "../../../model/hooks";
import { kindNames, pathOf } from "../../../model/kinds";
import { can } from "../../../model/session";
import type { Policy, Target } from "../documents";
import { PolicyFacts } from "../PolicyFacts";
import { scopeWords, whenWords } from "../words";

/** The default policies in full, and those of single services in a line each. */
export function Policies({ policies, targets }: { policies: readonly Policy[]; targets: readonly Target[] }) {
  const defaults = policies.filter((p) => p.serviceId === null);
  const own = policies.filter((p) => p.serviceId !== null);
  return (
    <section aria-labelledby="policies">
      <div className="mb-3 flex flex-wrap items-center justify-between gap-3">
        <h2 id="policies" className="font-semibold">
          Default policies
        </h2>
        {can("backUp") && targets.length > 0 && (
          <Button
            small
            look={defaults.length === 0 ? "primary" : "plain"}
            icon={<Plus size={15} aria-hidden="true" />}
            onClick={() => dialogs.open({ type: "backup", of: { type: "policy" } })}
          >
            New default policy
          </Button>
        )}
      </div>
      {defaults.length === 0 ? (
        <p className="text-muted">There are none: only services with a policy of their own are backed up.</p>
      ) : (
        <ul className="grid gap-4 md:grid-cols-2">
          {defaults.map((p) => (
            <Default key={p.id} policy={p} targets={targets} />
          ))}
        </ul>
      )}
      {own.length > 0 && (
        <>
          <h3 className="mt-5 mb-2 font-medium">Policies of single services</h3>
          <ul className="divide-y divide-line rounded-lg border border-line bg-surface">
            {own.map((p) => (
              <Own key={p.id} policy={p} />
            ))}
          </ul>
        </>
      )}
    </section>
  );
}

function Default({ policy: p, targets }: { policy: Policy; targets: readonly Target[] }) {
  const scope = scopeWords(p, (kind) => kindNames[kind]);
  return (
    <li className="flex flex-col rounded-xl border border-line bg-surface p-4" data-policy="default">
      <h3 className="font-semibold [overflow-wrap:anywhere]">For {scope}</h3>
      <p className="mb-3 text-[0.8125rem] text-muted">Applies to {plural(p.serviceCount, "service")}.</p>
      <PolicyFacts policy={p} targets={targets} />
      {can("backUp") && (
        <div className="mt-auto flex flex-wrap gap-2 pt-4">
          <Button
            small
            icon={<Pencil size={14} aria-hidden="true" />}
            onClick={() => dialogs.open({ type: "backup", of: { type: "policy", policyId: p.id } })}
          >
            Change…
          </Button>
          <Button
            small
            look="danger-plain"
            icon={<Trash2 size={14} aria-hidden="true" />}
            onClick={() => dialogs.open({ type: "backup", of: { type: "deletePolicy", policyId: p.id, of: scope } })}
          >
            Delete…
          </Button>
        </div>
      )}
    </li>
  );
}

function Own({ policy: p }: { policy: Policy }) {
  const s = useService(p.serviceId ?? "");
  return (
    <li className="flex flex-wrap items-center gap-x-4 gap-y-1 px-3.5 py-2.5">
      {s ? (
        <Link
          to="/$list/$id"
          params={{ list: pathOf[s.kind], id: s.id }}
          search={{ tab: "backups" }}
          className="font-medium text-text no-underline hover:underline"
        >
          {s.name}
        </Link>
      ) : (
        <span className="font-medium">A service that was removed</span>
      )}
      <span className="text-muted">{p.paused ? "paused" : whenWords(p)}</span>
    </li>
  );
}
