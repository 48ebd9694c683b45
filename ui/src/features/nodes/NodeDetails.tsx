import { Link } from "@tanstack/react-router";
import { useCallback, useMemo } from "react";
import { Loading } from "../../components/Empty";
import { runUncached } from "../../graphql/client";
import type { UwsNode } from "../../graphql/documents";
import { bytes, cores, plural } from "../../lib/format";
import { useAnswer } from "../../model/answer";
import { pathOf } from "../../model/kinds";
import { OverTime, useUseRange } from "../usage/OverTime";
import { useNodePast } from "../usage/useUse";
import { type NodeUsage, type ServiceOnNode, UseOnNode } from "./documents";
import { part } from "./room";

interface Props {
  n: UwsNode;
  usage: NodeUsage | null;
}

/** What a machine used over time, and which of its services use most. */
export default function NodeDetails({ n, usage }: Props) {
  const [range, setRange] = useUseRange();
  const past = useNodePast(n.id, range);
  const limits = useMemo(
    () => ({ cpu: usage?.cpus, memoryBytes: usage?.memoryTotalBytes, diskBytes: usage?.diskTotalBytes }),
    [usage?.cpus, usage?.memoryTotalBytes, usage?.diskTotalBytes],
  );
  return (
    <div className="mt-4 grid gap-6 border-t border-line pt-4 lg:grid-cols-[minmax(0,1fr)_22rem]">
      <OverTime past={past} range={range} setRange={setRange} limits={limits} limitName="total" marks={noMarks} />
      <ServicesOn n={n} total={usage?.memoryTotalBytes ?? null} />
    </div>
  );
}

const noMarks: never[] = [];
const mostShown = 10;

/** The services that use most memory of it. */
function ServicesOn({ n, total }: { n: UwsNode; total: number | null }) {
  const load = useCallback(() => servicesOn(n.id), [n.id]);
  const [{ data, error }] = useAnswer(load);
  if (!data) return error ? <p className="text-bad-text">{error}</p> : <Loading rows={4} />;
  const most = data[0]?.usage?.memoryBytes ?? 0;
  return (
    <section aria-labelledby={`on-${n.id}`}>
      <h2 id={`on-${n.id}`} className="flex items-baseline justify-between gap-3 font-semibold">
        Services by memory
        <Link
          to="/$list"
          params={{ list: "services" }}
          search={{ node: n.id }}
          className="font-normal text-accent-text"
        >
          All {data.length.toLocaleString("en")}
        </Link>
      </h2>
      {data.length === 0 && <p className="mt-3 text-muted">No service is on this node.</p>}
      <ol className="mt-3 space-y-2.5">
        {data.slice(0, mostShown).map((s) => (
          <li key={s.id} data-on-node={s.name}>
            <div className="flex items-baseline justify-between gap-3">
              <Link
                to="/$list/$id"
                params={{ list: pathOf[s.kind], id: s.id }}
                search={{ tab: "usage" } as never}
                className="min-w-0 truncate text-text no-underline hover:underline"
              >
                {s.name}
              </Link>
              <span className="numbers text-[0.8125rem] whitespace-nowrap text-muted">{amounts(s)}</span>
            </div>
            <span aria-hidden="true" className="mt-1 block h-1.5 overflow-hidden rounded-full bg-sunken">
              <span
                className="block h-full rounded-full bg-accent"
                style={{ width: `${part(s.usage?.memoryBytes ?? 0, most)}%` }}
              />
            </span>
          </li>
        ))}
      </ol>
      {data.length > mostShown && (
        <p className="mt-3 text-muted">and {plural(data.length - mostShown, "more", "more")}</p>
      )}
      {total !== null && data.length > 0 && (
        <p className="numbers mt-3 text-xs text-muted">
          Together {bytes(data.reduce((sum, s) => sum + (s.usage?.memoryBytes ?? 0), 0))} of {bytes(total)}
        </p>
      )}
    </section>
  );
}

/** "87 MiB, 0.4 cores". */
function amounts({ usage }: ServiceOnNode): string {
  if (!usage) return "not measured";
  return usage.cpu === null ? bytes(usage.memoryBytes) : `${bytes(usage.memoryBytes)}, ${cores(usage.cpu)} cores`;
}

const mostPages = 10; // of 1000

/** All services on a node, those that use most memory first. */
async function servicesOn(nodeId: string): Promise<ServiceOnNode[]> {
  const all: ServiceOnNode[] = [];
  let after: string | null = null;
  for (let page = 0; page < mostPages; page++) {
    const {
      services,
    }: { services: { nodes: ServiceOnNode[]; pageInfo: { hasNextPage: boolean; endCursor: string | null } } } =
      await runUncached(UseOnNode, { nodeId, after });
    all.push(...services.nodes);
    if (!services.pageInfo.hasNextPage) break;
    after = services.pageInfo.endCursor;
  }
  const memory = (s: ServiceOnNode) => s.usage?.memoryBytes ?? -1;
  return all.sort((a, b) => memory(b) - memory(a) || (a.name < b.name ? -1 : 1));
}
