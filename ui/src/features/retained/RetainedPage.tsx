import { PackageOpen, Plug, Trash2 } from "lucide-react";
import { useEffect } from "react";
import { useQuery } from "urql";
import { Button } from "../../components/Button";
import { Empty, Failure, Loading } from "../../components/Empty";
import { kindIcons } from "../../components/KindIcon";
import { Page } from "../../components/Page";
import { Ago } from "../../components/Time";
import { asApiError } from "../../graphql/client";
import { Retained, type RetainedData } from "../../graphql/documents";
import { live } from "../../graphql/live";
import { absolute } from "../../lib/time";
import { dialogs } from "../../model/dialogs";
import { kindNames } from "../../model/kinds";
import { can } from "../../model/session";
import { Orphans } from "./Orphans";

/** Data that outlived its service. */
export function RetainedPage() {
  const [{ data, error, fetching }, again] = useQuery({ query: Retained, requestPolicy: "cache-and-network" });
  useEffect(
    // What is retained changes when a service goes or comes.
    () =>
      live.subscribe((change) => {
        for (const { before, after } of change.services.values()) {
          if (!before || !after) return again({ requestPolicy: "network-only" });
        }
      }),
    [again],
  );
  const all = data?.retainedData ?? [];
  const deleting = all.some((r) => r.deleting);
  useEffect(() => {
    if (!deleting) return;
    const timer = setInterval(() => again({ requestPolicy: "network-only" }), 2000);
    return () => clearInterval(timer);
  }, [deleting, again]);
  return (
    <Page title="Retained data" count={data ? all.length : undefined}>
      <Orphans changed={() => again({ requestPolicy: "network-only" })} />
      {error && !data ? (
        <Failure
          message={asApiError(error).message}
          retry={
            <Button small busy={fetching} onClick={() => again({ requestPolicy: "network-only" })}>
              Try again
            </Button>
          }
        />
      ) : !data ? (
        <Loading />
      ) : all.length === 0 ? (
        <Empty icon={<PackageOpen size={22} />} title="No retained data">
          When you remove a service and keep its data, the data appears here. You can attach it to a new service or
          delete it.
        </Empty>
      ) : (
        <ul className="mx-auto max-w-5xl space-y-3 p-4">
          {all.map((r) => (
            <Item key={r.id} r={r} />
          ))}
        </ul>
      )}
    </Page>
  );
}

function Item({ r }: { r: RetainedData }) {
  const Icon = kindIcons[r.kind];
  return (
    <li
      className="flex flex-wrap items-center gap-x-4 gap-y-3 rounded-xl border border-line bg-surface p-4"
      data-retained={r.name}
    >
      <span
        className="flex size-9 shrink-0 items-center justify-center rounded-lg bg-sunken text-muted"
        aria-hidden="true"
      >
        <Icon size={18} />
      </span>
      <div className="min-w-48 flex-1">
        <h2 className="font-semibold [overflow-wrap:anywhere]">{r.name}</h2>
        <p className="text-[0.8125rem] text-muted">
          {kindNames[r.kind]} · {r.template.name} {r.template.version} ·{" "}
          {r.forgotten
            ? `on node ${r.nodeName}, which was forgotten`
            : r.node
              ? `on ${r.node.name}`
              : "its node was removed"}
        </p>
        <p className="text-[0.8125rem] text-muted">
          Removed <Ago at={r.retainedAt} />, launched {absolute(Date.parse(r.createdAt))}
        </p>
      </div>
      {r.deleting ? (
        <span className="max-w-80 text-warn-text">{r.obstacle ? `Not deleted yet: ${r.obstacle}` : "Deleting…"}</span>
      ) : (
        <div className="flex flex-wrap gap-2">
          {can("launch") && !r.forgotten && (
            <Button
              small
              icon={<Plug size={15} aria-hidden="true" />}
              onClick={() => dialogs.open({ type: "launch", kind: r.kind, reattach: r.id })}
            >
              Reattach…
            </Button>
          )}
          {can("deleteData") && (
            <Button
              small
              look="danger-plain"
              icon={<Trash2 size={15} aria-hidden="true" />}
              onClick={() => dialogs.open({ type: "deleteRetained", id: r.id, name: r.name })}
            >
              Delete…
            </Button>
          )}
        </div>
      )}
    </li>
  );
}
