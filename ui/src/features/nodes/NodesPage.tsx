import { Link, useSearch } from "@tanstack/react-router";
import { ChevronRight, CirclePause, CirclePlay, Plus, Server, Trash2 } from "lucide-react";
import { type ReactNode, useCallback, useEffect } from "react";
import { Button } from "../../components/Button";
import { cx } from "../../components/cx";
import { Empty, Loading } from "../../components/Empty";
import { Labels } from "../../components/Labels";
import { lazyPart } from "../../components/Lazy";
import { type MenuItem, MoreMenu } from "../../components/Menu";
import { Page } from "../../components/Page";
import { StatusText } from "../../components/Status";
import { Ago } from "../../components/Time";
import { WarningBadge, WarningList } from "../../components/Warnings";
import { run, runUncached } from "../../graphql/client";
import { AllNodes, type NodeAction, type UwsNode } from "../../graphql/documents";
import { live } from "../../graphql/live";
import { bytes, plural, sentence } from "../../lib/format";
import { useAnswer } from "../../model/answer";
import { dialogs } from "../../model/dialogs";
import { useLoaded, useNodes, useServicesOn } from "../../model/hooks";
import { can } from "../../model/session";
import { useWarnings } from "../../model/warnings";
import { NodesUse, type NodeUsage } from "./documents";
import { drainNode } from "./drain";
import { NodeRoom } from "./NodeRoom";
import type { NodesSearch } from "./search";

export const driverNames: Record<UwsNode["driver"], string> = {
  DOCKER: "Docker Engine",
  PROCESS: "Processes on this machine",
};

/** The machines and engines that services run on. */
export function NodesPage() {
  const nodes = useNodes();
  const loaded = useLoaded();
  useFreshNodes();
  const use = useNodesUse();
  const { node: open } = useSearch({ strict: false }) as NodesSearch;
  return (
    <Page
      title="Nodes"
      count={nodes.length}
      toolbar={
        can("manageNodes") && (
          <div className="ml-auto">
            <Button
              look="primary"
              icon={<Plus size={17} aria-hidden="true" />}
              onClick={() => dialogs.open({ type: "register" })}
            >
              Register node
            </Button>
          </div>
        )
      }
    >
      {!loaded ? (
        <Loading />
      ) : nodes.length === 0 ? (
        <Empty icon={<Server size={22} />} title="No nodes">
          Services run on nodes.{can("manageNodes") && " Register one."}
        </Empty>
      ) : (
        <ul className="grid gap-4 p-4 md:grid-cols-2 2xl:grid-cols-3">
          {nodes.map((n) => (
            <NodeCard key={n.id} n={n} usage={use.get(n.id) ?? null} open={open === n.id} />
          ))}
        </ul>
      )}
    </Page>
  );
}

const freshEvery = 10_000; // ms; the feed does not tell that a node was seen again, or how its disk fills

function useFreshNodes() {
  useEffect(() => {
    const look = async () => {
      if (document.visibilityState === "hidden") return;
      const all = await run(AllNodes, {}).catch(() => undefined);
      // Which nodes there are is the feed's to say.
      if (all) live.apply({ nodes: all.nodes.filter((n) => live.node(n.id)) });
    };
    void look();
    const timer = setInterval(look, freshEvery);
    return () => clearInterval(timer);
  }, []);
}

const noUse: ReadonlyMap<string, NodeUsage | null> = new Map();

function useNodesUse(): ReadonlyMap<string, NodeUsage | null> {
  const load = useCallback(async () => {
    const { nodes } = await runUncached(NodesUse, {});
    return new Map(nodes.map((n) => [n.id, n.usage]));
  }, []);
  return useAnswer(load, freshEvery)[0].data ?? noUse;
}

const Details = lazyPart<{ n: UwsNode; usage: NodeUsage | null }>(
  () => import("./NodeDetails").then((m) => m.default),
  () => <Loading rows={8} />,
);

function NodeCard({ n, usage, open }: { n: UwsNode; usage: NodeUsage | null; open: boolean }) {
  const services = useServicesOn(n.id);
  const warnings = useWarnings(n.id);
  const measured = usage !== null && n.healthy;
  return (
    <li className={cx("rounded-xl border border-line bg-surface p-4", open && "col-span-full")} data-node={n.name}>
      <div className="flex items-start gap-3">
        <span
          className="flex size-9 shrink-0 items-center justify-center rounded-lg bg-sunken text-muted"
          aria-hidden="true"
        >
          <Server size={18} />
        </span>
        <div className="min-w-0 flex-1">
          <h2 className="flex items-center gap-2 font-semibold [overflow-wrap:anywhere]">
            {n.name}
            <WarningBadge warnings={warnings} />
          </h2>
          <p className="text-[0.8125rem] text-muted">{driverNames[n.driver]}</p>
        </div>
        <div className="mt-1.5 flex flex-col items-start gap-1">
          <StatusText group={n.healthy ? "healthy" : "unhealthy"} word={n.healthy ? "Healthy" : "Unreachable"} />
          {n.draining && <StatusText group="stopped" word="Draining" />}
        </div>
        {n.allowedActions.length > 0 && <MoreMenu label={`More for ${n.name}`} items={actionsFor(n)} />}
      </div>
      {!n.healthy && n.reason && (
        <p className="mt-3 rounded-md bg-bad-soft px-3 py-2 text-bad-text [overflow-wrap:anywhere]">
          {sentence(n.reason)}
        </p>
      )}
      {warnings.length > 0 && (
        <div className="mt-3">
          <WarningList warnings={warnings} />
        </div>
      )}
      <div className={cx("mt-4 grid gap-x-6 gap-y-4", open && "lg:grid-cols-[minmax(0,1fr)_22rem]")}>
        {measured && <NodeRoom usage={usage} />}
        <dl className="grid content-start grid-cols-[7rem_minmax(0,1fr)] gap-y-2">
          <Fact name="Services">
            {services === 0 ? (
              "none"
            ) : (
              <Link to="/$list" params={{ list: "services" }} search={{ node: n.id }} className="text-accent-text">
                {plural(services, "service")}
              </Link>
            )}
          </Fact>
          <Fact name="Last seen">{n.lastSeenAt ? <Ago at={n.lastSeenAt} /> : "never"}</Fact>
          <Fact name="Address">{n.serviceAddress}</Fact>
          {n.version && <Fact name="Version">{n.version}</Fact>}
          {!measured && (n.cpus !== null || n.memoryBytes !== null) && (
            <Fact name="Machine">
              {[n.cpus !== null && plural(n.cpus, "core"), n.memoryBytes !== null && `${bytes(n.memoryBytes)} memory`]
                .filter(Boolean)
                .join(", ")}
            </Fact>
          )}
          {n.diskFreeBytes !== null && (!measured || n.diskLow) && (
            <Fact name="Disk">
              {bytes(n.diskFreeBytes)}
              {n.diskTotalBytes !== null && ` of ${bytes(n.diskTotalBytes)}`} free
              {n.diskLow && <strong className="text-bad-text"> – almost full</strong>}
            </Fact>
          )}
          {n.labels.length > 0 && (
            <Fact name="Labels">
              <Labels labels={n.labels} />
            </Fact>
          )}
          {n.engineLabels.length > 0 && (
            <Fact name="Engine labels">
              <Labels labels={n.engineLabels} />
            </Fact>
          )}
          <Fact name="Events">
            <Link to="/activity" search={{ node: n.id }} className="text-accent-text">
              Show events
            </Link>
          </Fact>
        </dl>
      </div>
      <Link
        to="/nodes"
        search={{ node: open ? undefined : n.id }}
        aria-expanded={open}
        className="mt-4 inline-flex min-h-7 items-center gap-1 text-accent-text no-underline hover:underline"
      >
        <ChevronRight size={14} aria-hidden="true" className={cx("transition-transform", open && "rotate-90")} />
        Use over time and by service
      </Link>
      {open && <Details n={n} usage={usage} />}
      {n.unrecognised.length > 0 && <Unrecognised ids={n.unrecognised} />}
    </li>
  );
}

/** Returns the actions on a node as items of a menu. */
function actionsFor(n: UwsNode): MenuItem[] {
  const may = (action: NodeAction) => n.allowedActions.includes(action);
  return [
    may("UNDRAIN")
      ? {
          label: "Stop draining",
          icon: <CirclePlay size={16} aria-hidden="true" />,
          onSelect: () => void drainNode(n, false),
        }
      : {
          label: "Drain",
          icon: <CirclePause size={16} aria-hidden="true" />,
          onSelect: () => void drainNode(n, true),
          disabled: !may("DRAIN"),
        },
    {
      label: "Remove node…",
      icon: <Trash2 size={16} aria-hidden="true" />,
      onSelect: () => dialogs.open({ type: "removeNode", id: n.id }),
      danger: true,
      disabled: !may("REMOVE") && !may("FORGET"),
    },
  ];
}

function Unrecognised({ ids }: { ids: readonly string[] }) {
  return (
    <div className="mt-4 rounded-md bg-sunken px-3 py-2">
      <p>
        {plural(ids.length, "workload runs", "workloads run")} there that {ids.length === 1 ? "belongs" : "belong"} to
        no service: a restored backup may have forgotten {ids.length === 1 ? "it. It is" : "them. They are"} left alone.
      </p>
      <ul className="mt-1.5 space-y-0.5">
        {ids.map((id) => (
          <li key={id} className="font-mono text-[0.8125rem] [overflow-wrap:anywhere]">
            {id}
          </li>
        ))}
      </ul>
    </div>
  );
}

function Fact({ name, children }: { name: string; children: ReactNode }) {
  return (
    <>
      <dt className="text-muted">{name}</dt>
      <dd className="numbers min-w-0 [overflow-wrap:anywhere]">{children}</dd>
    </>
  );
}
