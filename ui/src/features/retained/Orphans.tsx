import { useEffect, useState } from "react";
import { useQuery } from "urql";
import { Button } from "../../components/Button";
import { ConfirmDialog } from "../../components/ConfirmDialog";
import { run } from "../../graphql/client";
import { graphql, type ResultOf } from "../../graphql/graphql";
import { live } from "../../graphql/live";
import { bytes } from "../../lib/format";
import { absolute } from "../../lib/time";
import { toast } from "../../lib/toast";
import { kindNames } from "../../model/kinds";
import { can } from "../../model/session";

// Not in documents.ts: only this page, which is loaded when it is opened, needs them.
const OrphansQuery = graphql(`
  query Orphans {
    orphans { id name kind node { id name } dataOnly createdAt bytes running problem }
  }
`);

const AdoptOrphan = graphql(`
  mutation AdoptOrphan($id: ID!) { adoptOrphan(id: $id) { id } }
`);

const StopOrphan = graphql(`
  mutation StopOrphan($id: ID!) { stopOrphan(id: $id) { id } }
`);

const RemoveOrphan = graphql(`
  mutation RemoveOrphan($id: ID!, $data: DataPolicy!, $createdAt: Time) {
    removeOrphan(id: $id, data: $data, createdAt: $createdAt) { id }
  }
`);

type Orphan = ResultOf<typeof OrphansQuery>["orphans"][number];

/** Workloads and data that belong to no service; nothing where there are none. */
export function Orphans({ changed }: { changed: () => void }) {
  const [{ data }, again] = useQuery({ query: OrphansQuery, requestPolicy: "cache-and-network" });
  useEffect(
    () =>
      live.subscribe((change) => {
        if (change.nodes) again({ requestPolicy: "network-only" });
      }),
    [again],
  );
  const all = data?.orphans ?? [];
  if (all.length === 0) return null;
  return (
    <section className="mx-auto w-full max-w-5xl p-4 pb-0" aria-labelledby="orphans">
      <h2 id="orphans" className="font-semibold">
        Orphans
      </h2>
      <p className="text-[0.8125rem] text-muted">
        Workloads and data on nodes that belong to no service. They appear when the store was restored from an older
        copy, or when a forgotten node was registered again.
      </p>
      <ul className="mt-3 space-y-3">
        {all.map((o) => (
          <Row
            key={`${o.node.id} ${o.id}`}
            orphan={o}
            changed={() => {
              again({ requestPolicy: "network-only" });
              changed();
            }}
          />
        ))}
      </ul>
    </section>
  );
}

function Row({ orphan: o, changed }: { orphan: Orphan; changed: () => void }) {
  const [busy, setBusy] = useState(false);
  const [deleting, setDeleting] = useState(false);
  const name = o.name ?? o.id;
  const act = async (done: string, failed: string, work: () => Promise<unknown>) => {
    setBusy(true);
    try {
      await work();
      toast.done(`${name} ${done}`);
    } catch (error) {
      toast.failed(`${name} ${failed}`, error);
    } finally {
      setBusy(false);
      changed();
    }
  };
  return (
    <li
      className="flex flex-wrap items-center gap-x-4 gap-y-3 rounded-xl border border-line bg-surface p-4"
      data-orphan={name}
    >
      <div className="min-w-48 flex-1">
        <h3 className="font-semibold [overflow-wrap:anywhere]">{name}</h3>
        <p className="text-[0.8125rem] text-muted">
          {o.kind ? `${kindNames[o.kind]} · ` : ""}on {o.node.name},{" "}
          {o.dataOnly ? "data without a service" : o.running ? "running" : "not running"}
          {o.bytes != null && `, ${bytes(o.bytes)}`}
          {o.dataOnly && o.createdAt && `, created ${absolute(Date.parse(o.createdAt))}`}
        </p>
        {o.problem && <p className="text-[0.8125rem] text-warn-text">Cannot be adopted: {o.problem}.</p>}
      </div>
      {can("deleteData") && (
        <div className="flex flex-wrap gap-2">
          {!o.problem && (
            <Button
              small
              busy={busy}
              onClick={() => act("is a service again", "was not adopted", () => run(AdoptOrphan, { id: o.id }))}
            >
              Adopt
            </Button>
          )}
          {o.running && (
            <Button
              small
              busy={busy}
              onClick={() => act("is stopped", "was not stopped", () => run(StopOrphan, { id: o.id }))}
            >
              Stop
            </Button>
          )}
          {!(o.dataOnly && o.problem) && (
            <Button
              small
              look="danger-plain"
              busy={busy}
              onClick={() =>
                act(o.dataOnly ? "is retained data" : "is removed; its data is kept", "was not removed", () =>
                  run(RemoveOrphan, { id: o.id, data: "RETAIN", createdAt: null }),
                )
              }
            >
              {o.dataOnly ? "Keep as retained data" : "Remove, keep data"}
            </Button>
          )}
          {o.dataOnly && (
            <Button small look="danger-plain" busy={busy} onClick={() => setDeleting(true)}>
              Delete…
            </Button>
          )}
          {deleting && (
            <ConfirmDialog
              title={<>Delete the data of {name}?</>}
              description="Deletes the data. There is no backup, and this cannot be undone."
              verb="Delete data"
              look="danger"
              typed={name}
              finalFocus={() => document.querySelector<HTMLElement>("h1")}
              onClose={() => setDeleting(false)}
              act={async () => {
                await run(RemoveOrphan, { id: o.id, data: "DELETE", createdAt: o.createdAt });
                toast.done(`The data of ${name} is deleted`);
                setDeleting(false);
                changed();
              }}
            />
          )}
        </div>
      )}
    </li>
  );
}
