import { Link, useNavigate } from "@tanstack/react-router";
import { Boxes, CircleCheck, Plus, TriangleAlert } from "lucide-react";
import { memo, useMemo } from "react";
import { Button, buttonClass } from "../../components/Button";
import { cx } from "../../components/cx";
import { Empty, Loading } from "../../components/Empty";
import { kindIcons } from "../../components/KindIcon";
import { Page } from "../../components/Page";
import { Mark, StatusText } from "../../components/Status";
import type { Kind, UwsNode, Warning } from "../../graphql/documents";
import { plural, sentence } from "../../lib/format";
import { useBackedUp } from "../../model/backups";
import { dialogs } from "../../model/dialogs";
import { useCounts, useEmpty, useLoaded, useNodes, useService, useServiceIds, useServicesOn } from "../../model/hooks";
import { kindNames, type ListPath, lists, pathOf } from "../../model/kinds";
import { can, myKinds } from "../../model/session";
import { type Group, groupNames, groups, statusOf } from "../../model/status";
import { useWarned } from "../../model/warnings";
import { EventList } from "../activity/EventList";
import { useEvents } from "../activity/events";

/** All at a glance: does everything work, and if not, what does not and why. */
export function Overview() {
  const empty = useEmpty(); // not the counts: they move all the time, and with them would all that is below
  const loaded = useLoaded();
  return (
    <Page
      title="Overview"
      toolbar={
        can("launch") && (
          <div className="ml-auto">
            <Button
              look="primary"
              icon={<Plus size={17} aria-hidden="true" />}
              onClick={() => dialogs.open({ type: "launch" })}
              aria-keyshortcuts="n"
            >
              Launch New Service
            </Button>
          </div>
        )
      }
    >
      {!loaded ? (
        <Loading />
      ) : empty ? (
        <Welcome />
      ) : (
        <div className="mx-auto grid max-w-7xl items-start gap-4 p-4 xl:grid-cols-[minmax(0,1fr)_26rem]">
          <div className="grid min-w-0 gap-4">
            <Summary />
            <section
              aria-label="Services by kind"
              className="divide-y divide-line rounded-xl border border-line bg-surface"
            >
              {myKinds().map((kind) => (
                <KindRow key={kind} kind={kind} />
              ))}
            </section>
            <Trouble />
            <Warned />
            <Backups />
            <Nodes />
          </div>
          <Recent />
        </div>
      )}
    </Page>
  );
}

function Welcome() {
  if (!can("launch")) {
    return (
      <Empty icon={<Boxes size={22} />} title="Nothing is running yet">
        Services appear here after somebody with the role OPERATOR launches them.
      </Empty>
    );
  }
  return (
    <div className="mx-auto max-w-4xl p-4">
      <Empty icon={<Plus size={22} />} title="Nothing is running yet">
        Choose a kind. The service is ready in seconds, and is checked and restarted for you.
      </Empty>
      <ul className="-mt-8 grid gap-3 pb-8 sm:grid-cols-2 lg:grid-cols-3">
        {myKinds().map((kind) => {
          const Icon = kindIcons[kind];
          return (
            <li key={kind}>
              <button
                type="button"
                onClick={() => dialogs.open({ type: "launch", kind })}
                className="flex w-full items-start gap-3 rounded-xl border border-line bg-surface p-4 text-left hover:border-accent"
              >
                <Icon size={20} aria-hidden="true" className="mt-0.5 shrink-0 text-accent-text" />
                <span>
                  <span className="block font-semibold">{kindNames[kind]}</span>
                  <span className="text-muted">{whats[kind]}</span>
                </span>
              </button>
            </li>
          );
        })}
      </ul>
    </div>
  );
}

const whats: Record<Kind, string> = {
  BUCKET: "An S3 endpoint with keys of its own",
  DB: "A PostgreSQL database with a user and a password",
  NOSQL: "A document database that speaks the MongoDB protocol",
  QUEUE: "A message queue with durable streams",
  SECRETS: "A store of versioned secrets",
};

function Summary() {
  const counts = useCounts();
  const shown = groups.filter((g) => g === "healthy" || counts[g] > 0);
  return (
    <section aria-label="Services by status" className="flex flex-wrap gap-3">
      {shown.map((group) => (
        <Link
          key={group}
          to="/$list"
          params={{ list: "services" }}
          search={{ status: group }}
          className="min-w-28 flex-1 rounded-xl border border-line bg-surface px-4 py-3 text-text no-underline hover:border-line-strong"
        >
          <span className="numbers block text-2xl font-semibold tracking-tight">
            {counts[group].toLocaleString("en")}
          </span>
          <StatusText group={group} word={groupNames[group]} className="text-[0.8125rem]" />
        </Link>
      ))}
    </section>
  );
}

const mostSquares = 240; // for a kind: beyond, the worst come first
const calm = 300; // ms between new orders of what is looked at as a whole

function KindRow({ kind }: { kind: Kind }) {
  const counts = useCounts(kind);
  const many = counts.total > mostSquares;
  const ids = useServiceIds({ kind, sort: many ? "status" : "name", descending: false }, many ? 1_000 : calm);
  const Icon = kindIcons[kind];
  const list = pathOf[kind];
  return (
    <div className="grid grid-cols-[minmax(0,1fr)_auto] items-center gap-x-4 gap-y-2 px-4 py-3 sm:grid-cols-[9.5rem_minmax(0,1fr)_auto]">
      <Link
        to="/$list"
        params={{ list }}
        className="flex items-center gap-2.5 font-medium text-text no-underline hover:underline"
      >
        <Icon size={17} aria-hidden="true" className="text-muted" />
        {lists[list].title}
      </Link>
      <Squares ids={ids} list={list} />
      <div className="numbers flex gap-3 text-[0.8125rem]">
        {groups
          .filter((g) => counts[g] > 0)
          .map((group) => (
            <Link
              key={group}
              to="/$list"
              params={{ list }}
              search={{ status: group }}
              className="inline-flex min-h-6 items-center gap-1.5 text-muted no-underline hover:text-text hover:underline"
              aria-label={`${counts[group]} ${groupNames[group].toLowerCase()} in ${lists[list].title}`}
            >
              <Mark group={group} size={9} still />
              {counts[group]}
            </Link>
          ))}
      </div>
    </div>
  );
}

// Each group has a shape of its own here too.
const squares: Record<Group, string> = {
  healthy: "bg-good",
  suspect: "bg-warn [clip-path:polygon(50%_0,100%_50%,50%_100%,0_50%)]",
  unhealthy: "bg-bad ring-2 ring-bad/35",
  progress: "border-2 border-busy rounded-full",
  stopped: "border-2 border-off",
  unknown: "border-2 border-dashed border-off rounded-full",
};

/** For the eyes and the mouse: the counts beside it lead to the same services. */
const Squares = memo(function Squares({ ids, list }: { ids: string[]; list: ListPath }) {
  const navigate = useNavigate();
  const shown = ids.slice(0, mostSquares);
  return (
    <div
      className="flex min-h-4 flex-wrap gap-1 [contain:content] max-sm:order-last max-sm:col-span-2"
      aria-hidden="true"
      onClick={(event) => {
        const { id } = (event.target as HTMLElement).dataset;
        if (id) void navigate({ to: "/$list/$id", params: { list, id } });
      }}
    >
      {shown.map((id) => (
        <Square key={id} id={id} />
      ))}
      {ids.length > shown.length && <span className="text-xs text-muted">+{ids.length - shown.length}</span>}
      {ids.length === 0 && <span className="text-[0.8125rem] text-muted">none</span>}
    </div>
  );
});

const Square = memo(function Square({ id }: { id: string }) {
  const s = useService(id);
  if (!s) return null;
  const { group, word } = statusOf(s);
  return (
    <span
      title={`${s.name}: ${word}`}
      data-id={id}
      data-mark={group}
      className={cx("block size-3.5 cursor-pointer rounded-[3px]", squares[group])}
    />
  );
});

function Trouble() {
  const bad = useServiceIds({ group: "unhealthy", sort: "name", descending: false }, calm);
  const suspect = useServiceIds({ group: "suspect", sort: "name", descending: false }, calm);
  const ids = useMemo(() => [...bad, ...suspect], [bad, suspect]);
  if (ids.length === 0) {
    return (
      <p className="flex items-center gap-2.5 rounded-xl border border-line bg-surface px-4 py-3 text-good-text">
        <CircleCheck size={17} aria-hidden="true" />
        Nothing needs your attention.
      </p>
    );
  }
  return (
    <section aria-labelledby="trouble" className="rounded-xl border border-line bg-surface">
      <h2 id="trouble" className="border-b border-line px-4 py-3 font-semibold">
        Needs attention
      </h2>
      <ul className="divide-y divide-line">
        {ids.slice(0, 8).map((id) => (
          <TroubleRow key={id} id={id} />
        ))}
      </ul>
      {ids.length > 8 && (
        <p className="border-t border-line px-4 py-2.5">
          <Link to="/$list" params={{ list: "services" }} search={{ sort: "status" }} className="text-accent-text">
            All {ids.length}
          </Link>
        </p>
      )}
    </section>
  );
}

function TroubleRow({ id }: { id: string }) {
  const s = useService(id);
  if (!s) return null;
  const { group, word } = statusOf(s);
  return (
    <li className="grid items-baseline gap-x-4 px-4 py-2.5 sm:grid-cols-[minmax(0,11rem)_7rem_minmax(0,1fr)]">
      <Link
        to="/$list/$id"
        params={{ list: pathOf[s.kind], id }}
        className="truncate font-medium text-text no-underline hover:underline"
      >
        {s.name}
      </Link>
      <StatusText group={group} word={word} />
      <span className="text-muted [overflow-wrap:anywhere]">{sentence(s.reason)}</span>
    </li>
  );
}

const mostWarned = 8;

/** What will need attention soon. */
function Warned() {
  const { byId, services, nodes, total } = useWarned();
  const count = total + nodes.length;
  if (count === 0) return null;
  const shown = [...nodes, ...services].slice(0, mostWarned);
  return (
    <section aria-labelledby="warned" className="rounded-xl border border-line bg-surface">
      <h2 id="warned" className="flex items-center gap-2.5 border-b border-line px-4 py-3 font-semibold">
        <TriangleAlert size={16} aria-hidden="true" className="text-warn-text" />
        Needs attention soon
        <span className="numbers text-sm font-normal text-muted">{count.toLocaleString("en")}</span>
      </h2>
      <ul className="divide-y divide-line">
        {shown.map((id) => (
          <WarnedRow key={id} id={id} warnings={byId.get(id) ?? []} />
        ))}
      </ul>
      {count > shown.length && (
        <p className="border-t border-line px-4 py-2.5 text-muted">
          and {(count - shown.length).toLocaleString("en")} more
        </p>
      )}
    </section>
  );
}

function WarnedRow({ id, warnings }: { id: string; warnings: readonly Warning[] }) {
  const s = useService(id);
  const node = useNodes().find((n) => n.id === id);
  const look = "truncate font-medium text-text no-underline hover:underline";
  return (
    <li className="grid items-baseline gap-x-4 px-4 py-2.5 sm:grid-cols-[minmax(0,11rem)_minmax(0,1fr)]">
      {s ? (
        <Link to="/$list/$id" params={{ list: pathOf[s.kind], id }} className={look}>
          {s.name}
        </Link>
      ) : (
        <Link to="/nodes" className={look}>
          {node?.name ?? "A node"}
        </Link>
      )}
      <span className="text-muted [overflow-wrap:anywhere]">{warnings.map((w) => w.text).join(" ")}</span>
    </li>
  );
}

/** How many services are backed up, which need attention, and targets that would be lost with this installation. */
function Backups() {
  const { targets, byId, trouble } = useBackedUp();
  if (byId.size === 0 || (targets.length === 0 && !can("manageBackups"))) return null;
  const none = [...byId.values()].filter(({ state }) => state === "NONE").length;
  const untaken = targets.filter((t) => t.recoveryKitTakenAt === null);
  const away = targets.filter((t) => !t.reachable);
  const line = "flex flex-wrap items-center gap-x-4 gap-y-1 px-4 py-2.5";
  return (
    <section aria-labelledby="backups" className="rounded-xl border border-line bg-surface">
      <h2 id="backups" className="border-b border-line px-4 py-3 font-semibold">
        <Link to="/backups" className="text-text no-underline hover:underline">
          Backups
        </Link>
      </h2>
      <ul className="divide-y divide-line">
        {targets.length === 0 ? (
          <li className={line}>
            <StatusText group="unknown" word="Nothing is backed up" />
            <Link to="/backups" className="ml-auto text-accent-text">
              Create a target
            </Link>
          </li>
        ) : (
          <>
            {trouble.length > 0 && (
              <li className={line}>
                <StatusText group="suspect" word={`${plural(trouble.length, "service")} with backup trouble`} />
                <Link
                  to="/$list"
                  params={{ list: "services" }}
                  search={{ backup: "trouble" }}
                  className="ml-auto text-accent-text"
                >
                  Show
                </Link>
              </li>
            )}
            <li className={line}>
              <StatusText group="healthy" word={`${plural(byId.size - none - trouble.length, "service")} backed up`} />
              {none > 0 && <span className="ml-auto text-muted">{plural(none, "service")} without a policy</span>}
            </li>
          </>
        )}
        {away.map((t) => (
          <li key={t.id} className={line}>
            <StatusText group="unhealthy" word={`Target ${t.name} is unreachable`} />
            <Link to="/backups" className="ml-auto text-accent-text">
              Look into it
            </Link>
          </li>
        ))}
        {untaken.map((t) => (
          <li key={t.id} className={line} data-untaken={t.name}>
            <StatusText group="suspect" word={`Recovery kit of ${t.name} not taken`} />
            {can("manageBackups") && (
              <Link to="/backups" className="ml-auto text-accent-text">
                Take it
              </Link>
            )}
          </li>
        ))}
      </ul>
    </section>
  );
}

function Nodes() {
  const nodes = useNodes();
  return (
    <section aria-labelledby="nodes" className="rounded-xl border border-line bg-surface">
      <h2 id="nodes" className="border-b border-line px-4 py-3 font-semibold">
        <Link to="/nodes" className="text-text no-underline hover:underline">
          Nodes
        </Link>
      </h2>
      <ul className="divide-y divide-line">
        {nodes.map((n) => (
          <NodeRow key={n.id} n={n} />
        ))}
      </ul>
    </section>
  );
}

function NodeRow({ n }: { n: UwsNode }) {
  const services = useServicesOn(n.id);
  return (
    <li className="flex flex-wrap items-center gap-x-4 gap-y-1 px-4 py-2.5">
      <span className="min-w-32 font-medium">{n.name}</span>
      <StatusText group={n.healthy ? "healthy" : "unhealthy"} word={n.healthy ? "Healthy" : "Unreachable"} />
      {n.draining && <StatusText group="stopped" word="Draining" />}
      <span className="ml-auto text-muted">{n.healthy ? plural(services, "service") : sentence(n.reason)}</span>
    </li>
  );
}

function Recent() {
  const events = useEvents({}, { size: 14 });
  return (
    <section aria-labelledby="recent" className="rounded-xl border border-line bg-surface">
      <h2 id="recent" className="flex items-baseline justify-between border-b border-line px-4 py-3 font-semibold">
        Recent activity
        <Link to="/activity" className={cx(buttonClass("ghost", true), "-my-1 font-normal")}>
          All
        </Link>
      </h2>
      <EventList
        from={{ ...events, events: events.events.slice(0, 14) }}
        empty="Launches, restarts and failures appear here."
        dense
      />
    </section>
  );
}
