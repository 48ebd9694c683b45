import type { ReactNode } from "react";
import { StatusText } from "../../components/Status";
import type { Policy, Target } from "./documents";
import { keepWords, proveWords, whenWords } from "./words";

/** What a policy says. */
export function PolicyFacts({ policy: p, targets }: { policy: Policy; targets: readonly Target[] }) {
  return (
    <dl className="grid grid-cols-[5.5rem_minmax(0,1fr)] gap-y-1.5">
      {p.paused && (
        <Fact name="State">
          <StatusText group="stopped" word="Paused: nothing is backed up" />
        </Fact>
      )}
      <Fact name="When">{whenWords(p)}</Fact>
      <Fact name="Where to">{targets.find((t) => t.id === p.targetId)?.name ?? "a target that is gone"}</Fact>
      <Fact name="Keeps">{keepWords(p.keep)}</Fact>
      <Fact name="Proves">{proveWords(p.proveEvery)}</Fact>
      <Fact name="On removal">
        {p.finalBackup ? "a last backup before the data is deleted" : "no last backup before the data is deleted"}
      </Fact>
    </dl>
  );
}

function Fact({ name, children }: { name: string; children: ReactNode }) {
  return (
    <>
      <dt className="text-muted">{name}</dt>
      <dd className="min-w-0 [overflow-wrap:anywhere]">{children}</dd>
    </>
  );
}
