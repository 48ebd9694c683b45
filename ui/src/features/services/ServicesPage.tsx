import { Link, Outlet, useNavigate, useParams, useSearch } from "@tanstack/react-router";
import { Boxes, ChartSpline, Plus, Search, SearchX, ShieldAlert, X } from "lucide-react";
import { useDeferredValue, useEffect, useMemo, useRef, useState } from "react";
import { Button, buttonClass, IconButton } from "../../components/Button";
import { cx } from "../../components/cx";
import { Empty, Loading } from "../../components/Empty";
import { kindIcons } from "../../components/KindIcon";
import { Heading } from "../../components/Page";
import { Mark } from "../../components/Status";
import type { Kind } from "../../graphql/documents";
import { live } from "../../graphql/live";
import { useStore } from "../../lib/store";
import { useBackupTrouble } from "../../model/backups";
import { dialogs } from "../../model/dialogs";
import { useCounts, useLoaded, useServiceIds, useTitle } from "../../model/hooks";
import { kindNames, kindWhat, type ListPath, lists } from "../../model/kinds";
import { can, myKinds } from "../../model/session";
import { type Group, groupNames, groups } from "../../model/status";
import type { Query } from "../../model/view";
import { listPrefs } from "./prefs";
import { ServiceList } from "./ServiceList";
import type { DetailSearch, ListSearch } from "./search";

/** A list of services, all or of one kind, and beside it the one that the address selects. */
export function ServicesPage() {
  const { list, id } = useParams({ strict: false }) as { list: ListPath; id?: string };
  const search = useSearch({ from: "/$list" });
  const { tab, wide } = useSearch({ strict: false }) as DetailSearch;
  const { kind, title } = lists[list];
  useTitle(id ? undefined : title); // a selected service names the page
  const counts = useCounts(kind);
  const loaded = useLoaded();
  const query: Query = {
    kind,
    group: search.status,
    nodeId: search.node,
    text: useDeferredValue(search.q),
    sort: search.sort ?? "name",
    descending: search.desc === "1",
  };
  const found = useServiceIds(query);
  const trouble = useBackupTrouble();
  const ids = useMemo(
    () => (search.backup ? found.filter((id) => trouble.includes(id)) : found),
    [found, trouble, search.backup],
  );
  return (
    <div className="flex h-full min-h-0">
      <section
        aria-label={title}
        className={cx("flex min-w-0 flex-1 flex-col", id && (tab === "logs" && wide ? "hidden" : "hidden xl:flex"))}
      >
        <header className="flex flex-wrap items-center gap-x-4 gap-y-2.5 border-b border-line bg-surface px-4 py-3">
          <Heading title={title} count={counts.total} />
          <StatusFilter list={list} id={id} kind={kind} search={search} />
          <div className="flex min-w-[min(100%,24rem)] flex-1 items-center justify-end gap-2.5">
            {(search.backup || trouble.length > 0) && <BackupChip list={list} id={id} search={search} kind={kind} />}
            {search.node && <NodeChip list={list} id={id} search={search} />}
            <UseToggle beside={id !== undefined} />
            <Filter list={list} text={search.q ?? ""} />
            {can("launch") && (
              <Button
                look="primary"
                icon={<Plus size={17} aria-hidden="true" />}
                onClick={() => dialogs.open({ type: "launch", kind })}
                aria-keyshortcuts="n"
              >
                <span className="sm:hidden">Launch</span>
                <span className="hidden sm:inline">Launch New Service</span>
              </Button>
            )}
          </div>
        </header>
        <p className="sr-only" role="status">
          {loaded ? `${ids.length} of ${counts.total} services shown` : "Loading services"}
        </p>
        {!loaded ? (
          <Loading rows={10} />
        ) : ids.length === 0 ? (
          <Nothing kind={kind} filtered={counts.total > 0} list={list} />
        ) : (
          <ServiceList ids={ids} list={list} selected={id} search={search} />
        )}
      </section>
      <Outlet />
    </div>
  );
}

/** Whether the list has the columns of resource use. There is no button where the list has no room for them. */
function UseToggle({ beside }: { beside: boolean }) {
  const { use } = useStore(listPrefs);
  return (
    <IconButton
      label="Show resource use"
      aria-pressed={use}
      onClick={() => listPrefs.change({ use: !use })}
      className={cx(
        "size-9!",
        beside ? "max-[1640px]:hidden" : "max-[900px]:hidden",
        use && "bg-accent-soft text-accent-text!",
      )}
    >
      <ChartSpline size={17} aria-hidden="true" />
    </IconButton>
  );
}

function Nothing({ kind, filtered, list }: { kind: Kind | undefined; filtered: boolean; list: ListPath }) {
  if (filtered) {
    return (
      <Empty
        icon={<SearchX size={22} />}
        title="Nothing matches"
        actions={
          <Link to="/$list" params={{ list }} search={{}} className={buttonClass()}>
            Clear the filters
          </Link>
        }
      >
        No service matches the filters.
      </Empty>
    );
  }
  const Icon = kind ? kindIcons[kind] : Boxes;
  const may = can("launch") && (!kind || myKinds().includes(kind));
  return (
    <Empty
      icon={<Icon size={22} />}
      title={
        kind ? `No ${lists[list].title.toLowerCase().replace("nosql", "NoSQL services")} yet` : "Nothing is running yet"
      }
      actions={
        may && (
          <Button
            look="primary"
            icon={<Plus size={17} aria-hidden="true" />}
            onClick={() => dialogs.open({ type: "launch", kind })}
          >
            {kind ? `Launch a ${kindNames[kind]} service` : "Launch the first service"}
          </Button>
        )
      }
    >
      {!may
        ? "Services that others launch appear here."
        : kind
          ? `${kindWhat[kind]}, checked and restarted for you.`
          : "Launch a bucket, a database or a queue. It is ready in seconds."}
    </Empty>
  );
}

interface FilterProps {
  list: ListPath;
  id: string | undefined;
  search: ListSearch;
}

function StatusFilter({ list, id, kind, search }: FilterProps & { kind: Kind | undefined }) {
  const counts = useCounts(kind);
  const shown = groups.filter(
    (g) => g === "healthy" || g === "suspect" || g === "unhealthy" || counts[g] > 0 || search.status === g,
  );
  const item = (group: Group | undefined) => {
    const current = search.status === group;
    return (
      <Link
        key={group ?? "all"}
        to={id ? "/$list/$id" : "/$list"}
        params={id ? { list, id } : { list }}
        search={(before: object) => ({ ...before, status: group })}
        aria-current={current ? "true" : undefined}
        className={cx(
          "numbers flex min-h-7 items-center gap-1.5 rounded-md px-2.5 text-[0.8125rem] whitespace-nowrap no-underline",
          current ? "bg-raised text-text shadow-sm ring-1 ring-line" : "text-muted hover:text-text",
        )}
      >
        {group ? (
          <>
            <Mark group={group} size={9} still />
            {groupNames[group]} <span>{counts[group]}</span>
          </>
        ) : (
          "All"
        )}
      </Link>
    );
  };
  return (
    <nav aria-label="Filter by status" className="flex max-w-full gap-0.5 overflow-x-auto rounded-lg bg-sunken p-1">
      {item(undefined)}
      {shown.map(item)}
    </nav>
  );
}

function NodeChip({ list, id, search }: FilterProps) {
  const name = live.node(search.node ?? "")?.name ?? "unknown node";
  return (
    <Link
      to={id ? "/$list/$id" : "/$list"}
      params={id ? { list, id } : { list }}
      search={(before: object) => ({ ...before, node: undefined })}
      className="inline-flex min-h-8 items-center gap-1.5 rounded-md border border-line bg-sunken px-2.5 text-[0.8125rem] text-text no-underline hover:border-line-strong"
    >
      on {name}
      <X size={14} aria-hidden="true" />
      <span className="sr-only">: show all nodes</span>
    </Link>
  );
}

/** Shows only the services whose backups need attention, or all again. */
function BackupChip({ list, id, search, kind }: FilterProps & { kind: Kind | undefined }) {
  const trouble = useBackupTrouble();
  const count = trouble.filter((one) => !kind || live.service(one)?.kind === kind).length;
  const on = search.backup !== undefined;
  if (!on && count === 0) return null;
  return (
    <Link
      to={id ? "/$list/$id" : "/$list"}
      params={id ? { list, id } : { list }}
      search={(before: object) => ({ ...before, backup: on ? undefined : ("trouble" as const) })}
      aria-current={on ? "true" : undefined}
      className={cx(
        "numbers inline-flex min-h-8 items-center gap-1.5 rounded-md border px-2.5 text-[0.8125rem] whitespace-nowrap text-text no-underline hover:border-line-strong",
        on ? "border-accent bg-accent-soft" : "border-line bg-sunken",
      )}
    >
      <ShieldAlert size={14} aria-hidden="true" className="text-warn-text" />
      Backup trouble {count}
      {on && <X size={14} aria-hidden="true" />}
      {on && <span className="sr-only">: show all</span>}
    </Link>
  );
}

function Filter({ list, text }: { list: ListPath; text: string }) {
  const navigate = useNavigate();
  const [value, setValue] = useState(text);
  const written = useRef(text);
  useEffect(() => {
    // The address changed under us: back, forward, a link.
    if (text !== written.current) setValue(text);
    written.current = text;
  }, [text]);
  const write = (next: string) => {
    setValue(next);
    written.current = next;
    void navigate({ to: ".", search: (before: object) => ({ ...before, q: next || undefined }), replace: true });
  };
  return (
    <div className="relative min-w-0 flex-1 sm:max-w-60">
      <Search
        size={15}
        aria-hidden="true"
        className="pointer-events-none absolute top-1/2 left-3 -translate-y-1/2 text-muted"
      />
      <input
        type="search"
        data-filter
        aria-label={`Filter ${lists[list].title.toLowerCase()}`}
        aria-keyshortcuts="/"
        placeholder="Filter…  /"
        autoComplete="off"
        spellCheck={false}
        value={value}
        onChange={(event) => write(event.target.value)}
        onKeyDown={(event) => {
          if (event.key === "Escape" && value) {
            event.preventDefault();
            write("");
          } else if (event.key === "ArrowDown" || event.key === "Enter") {
            event.preventDefault();
            document.querySelector<HTMLElement>("[data-row] a")?.focus();
          }
        }}
        className="min-h-9 w-full rounded-md border border-line bg-page pr-2 pl-9 text-text placeholder:text-muted hover:border-line-strong"
      />
    </div>
  );
}
