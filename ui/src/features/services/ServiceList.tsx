import { Link, useNavigate } from "@tanstack/react-router";
import { defaultRangeExtractor, useVirtualizer } from "@tanstack/react-virtual";
import { ArrowDown, ArrowUp, CirclePlay, CircleStop, HeartPulse, RotateCw, Trash2 } from "lucide-react";
import { type KeyboardEvent, memo, type ReactNode, type Ref, useCallback, useEffect, useMemo, useRef } from "react";
import { Bar } from "../../components/Bar";
import { Spinner } from "../../components/Button";
import { cx } from "../../components/cx";
import { kindIcons } from "../../components/KindIcon";
import { type MenuItem, MoreMenu } from "../../components/Menu";
import { StatusText } from "../../components/Status";
import { Ago } from "../../components/Time";
import { WarningBadge } from "../../components/Warnings";
import type { Service, ServiceAction } from "../../graphql/documents";
import { live } from "../../graphql/live";
import { useMedia } from "../../lib/media";
import { useStore } from "../../lib/store";
import { dialogs } from "../../model/dialogs";
import { useService } from "../../model/hooks";
import { kindNames, type ListPath, lists } from "../../model/kinds";
import { can } from "../../model/session";
import { statusOf } from "../../model/status";
import type { SortKey } from "../../model/view";
import { useWarnings } from "../../model/warnings";
import { BackupMark } from "../backups/BackupMark";
import { SparkLayer, UseCells } from "../usage/SparkLayer";
import { checkService, restartService, startService, stopService, useBusy } from "./actions";
import { listPrefs } from "./prefs";
import type { ListSearch } from "./search";

interface Props {
  ids: string[];
  list: ListPath;
  selected: string | undefined;
  search: ListSearch;
}

const rowHeight = 44;
const tallRowHeight = 62; // two lines, on narrow screens
const near = 6; // rows above and below those in sight whose sparklines are drawn too

/** Renders only the rows in sight; each follows its own service. */
export function ServiceList({ ids, list, selected, search }: Props) {
  const scroller = useRef<HTMLDivElement>(null);
  const focused = useRef(-1);
  const head = useRef<HTMLDivElement>(null);
  const { use } = useStore(listPrefs);
  const tall = useMedia("(max-width: 639px)");
  const height = tall ? tallRowHeight : rowHeight;
  const rows = useVirtualizer({
    count: ids.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => height,
    getItemKey: (index) => ids[index] ?? index,
    overscan: 10,
    // The row that has the focus stays, however far one scrolls.
    rangeExtractor: (range) => {
      const shown = defaultRangeExtractor(range);
      const at = focused.current;
      return at >= 0 && at < ids.length && !shown.includes(at) ? [...shown, at].sort((a, b) => a - b) : shown;
    },
  });
  // biome-ignore lint/correctness/useExhaustiveDependencies: measured again when the height changes
  useEffect(() => rows.measure(), [height]);

  const at = selected ? ids.indexOf(selected) : -1;
  // biome-ignore lint/correctness/useExhaustiveDependencies: only a new selection is scrolled to, not each move of its row
  useEffect(() => {
    if (at >= 0) rows.scrollToIndex(at, { align: "auto" });
  }, [selected, at < 0]);

  const focusRow = useCallback(
    (index: number) => {
      const id = ids[index];
      if (id === undefined) return;
      focused.current = index;
      rows.scrollToIndex(index, { align: "auto" });
      let tries = 10; // frames until it is rendered
      const focus = () => {
        const link = scroller.current?.querySelector<HTMLElement>(`[data-row="${id}"] a`);
        if (link) link.focus({ preventScroll: true });
        else if (tries-- > 0) requestAnimationFrame(focus);
      };
      focus();
    },
    [ids, rows],
  );

  const onKeyDown = (event: KeyboardEvent) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const row = (event.target as HTMLElement).closest<HTMLElement>("[data-row]");
    const id = row?.dataset.row;
    if (!id || (event.target as HTMLElement).closest("[role=menu]")) return;
    const index = ids.indexOf(id);
    const page = Math.max(1, Math.floor((scroller.current?.clientHeight ?? 0) / height) - 2);
    const last = ids.length - 1;
    const to: Record<string, number> = {
      ArrowDown: index + 1,
      j: index + 1,
      ArrowUp: index - 1,
      k: index - 1,
      PageDown: Math.min(last, index + page),
      PageUp: Math.max(0, index - page),
      Home: 0,
      End: last,
    };
    if (event.key in to) {
      event.preventDefault();
      focusRow(to[event.key] ?? index);
    }
  };

  const first = Math.max(0, (rows.range?.startIndex ?? 0) - near);
  const end = (rows.range?.endIndex ?? -1) + 1 + near;
  const inSight = useMemo(() => ids.slice(first, end), [ids, first, end]);

  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: the keys are those of the links in it
    <div ref={scroller} onKeyDown={onKeyDown} className="list min-h-0 flex-1 overflow-y-auto" data-scroller>
      <div
        role="table"
        aria-label={lists[list].title}
        aria-rowcount={ids.length + 1}
        className={cx(lists[list].kind && "list-one-kind", use && "list-use")}
      >
        <Head ref={head} search={search} list={list} selected={selected} use={use} />
        <div role="rowgroup" className="relative" style={{ height: rows.getTotalSize() }}>
          {rows.getVirtualItems().map((item) => (
            <Row
              key={item.key}
              id={ids[item.index] ?? ""}
              index={item.index}
              top={item.start}
              height={height}
              list={list}
              selected={ids[item.index] === selected}
              use={use}
              onFocus={focused}
            />
          ))}
          {use && <SparkLayer ids={inSight} top={first * height} rowHeight={height} head={head} />}
        </div>
      </div>
    </div>
  );
}

interface HeadProps {
  ref: Ref<HTMLDivElement>;
  search: ListSearch;
  list: ListPath;
  selected: string | undefined;
  use: boolean;
}

function Head({ ref, search, list, selected, use }: HeadProps) {
  const navigate = useNavigate();
  const sort = search.sort ?? "name";
  const column = (key: SortKey, label: string, className?: string) => {
    const current = sort === key;
    const descending = search.desc === "1";
    return (
      <div
        role="columnheader"
        aria-sort={current ? (descending ? "descending" : "ascending") : "none"}
        className={className}
      >
        <button
          type="button"
          onClick={() =>
            void navigate({
              to: selected ? "/$list/$id" : "/$list",
              params: { list, id: selected },
              search: (before: ListSearch) => ({
                ...before,
                sort: key === "name" ? undefined : key,
                desc: current && !descending ? "1" : undefined,
              }),
            } as never)
          }
          className={cx(
            "-mx-1.5 inline-flex items-center gap-1 rounded px-1.5 py-1 hover:text-text",
            current && "text-text",
          )}
        >
          {label}
          {current &&
            (descending ? <ArrowDown size={13} aria-hidden="true" /> : <ArrowUp size={13} aria-hidden="true" />)}
        </button>
      </div>
    );
  };
  return (
    <div
      ref={ref}
      role="row"
      aria-rowindex={1}
      className="list-head list-row sticky top-0 z-10 h-10 border-b border-line bg-sunken text-[0.8125rem] font-semibold text-muted"
    >
      {column("status", "Status")}
      {column("name", "Name")}
      {!lists[list].kind && column("kind", "Kind", "col-kind")}
      <div role="columnheader" className="col-endpoint">
        Endpoint
      </div>
      {column("node", "Node", "col-node")}
      {use && (
        <>
          <div role="columnheader" className="col-cpu" title="Cores, over the last hour and now">
            CPU
          </div>
          <div role="columnheader" className="col-memory" title="Over the last hour and now">
            Memory
          </div>
        </>
      )}
      {column("restarts", "Restarts", "col-restarts")}
      {column("created", "Created")}
      {can("operate") && (
        <div role="columnheader">
          <span className="pl-2">Actions</span>
        </div>
      )}
    </div>
  );
}

interface RowProps {
  id: string;
  index: number;
  top: number;
  height: number;
  list: ListPath;
  selected: boolean;
  use: boolean;
  onFocus: { current: number };
}

const Row = memo(function Row({ id, index, top, height, list, selected, use, onFocus }: RowProps) {
  const s = useService(id);
  const warnings = useWarnings(id);
  if (!s) return null;
  const { group, word } = statusOf(s);
  const Icon = kindIcons[s.kind];
  const isNew = Date.now() - Date.parse(s.createdAt) < 3_000;
  return (
    <div
      role="row"
      aria-rowindex={index + 2}
      aria-current={selected ? "true" : undefined}
      data-row={id}
      data-group={group}
      onFocus={() => {
        onFocus.current = index;
      }}
      onBlur={() => {
        onFocus.current = -1;
      }}
      className={cx(
        "list-row group absolute inset-x-0 border-b border-line",
        selected ? "bg-accent-soft shadow-[inset_3px_0_0_var(--accent)]" : "bg-surface hover:bg-sunken",
        "focus-within:bg-sunken",
        isNew && "arrive",
      )}
      style={{ height, transform: `translateY(${top}px)` }}
    >
      <Cell className="col-status">
        <StatusText group={group} word={word} />
      </Cell>
      <Cell className="col-name flex min-w-0 items-center gap-2">
        <Link
          to="/$list/$id"
          params={{ list, id }}
          search={(before: ListSearch) => before as never}
          aria-current={selected ? "page" : undefined}
          className="truncate font-medium text-text no-underline after:absolute after:inset-0 focus-visible:outline-none focus-visible:after:outline-2 focus-visible:after:-outline-offset-2 focus-visible:after:outline-accent"
          title={s.name}
        >
          {s.name}
        </Link>
        <WarningBadge warnings={warnings} className="relative z-1" />
        <BackupMark id={id} />
      </Cell>
      {!lists[list].kind && (
        <Cell className="col-kind items-center gap-2 text-muted">
          <Icon size={15} aria-hidden="true" />
          {kindNames[s.kind]}
        </Cell>
      )}
      <Cell className="col-endpoint min-w-0 truncate text-muted">
        <EndpointOrStep s={s} />
      </Cell>
      <Cell className="col-node truncate text-muted">{s.node?.name ?? "—"}</Cell>
      {use && <UseCells id={id} />}
      <Cell className={cx("col-restarts numbers", s.restarts > 0 ? "font-semibold text-warn-text" : "text-muted")}>
        {s.restarts}
      </Cell>
      <Cell className="col-created truncate text-muted">
        <span className="sm:hidden">{!lists[list].kind && `${kindNames[s.kind]} · `}</span>
        <Ago at={s.createdAt} />
      </Cell>
      {can("operate") && (
        <Cell className="col-actions relative z-1 flex items-center justify-end">
          <RowActions s={s} />
        </Cell>
      )}
    </div>
  );
});

function Cell({ className, children }: { className?: string; children: ReactNode }) {
  return (
    <div role="cell" className={className}>
      {children}
    </div>
  );
}

function EndpointOrStep({ s }: { s: Service }) {
  if (s.progress && (s.phase === "PENDING" || s.phase === "STARTING")) {
    const percent = s.progress.percent;
    return (
      <span className="flex items-center gap-2">
        {percent !== null && <Bar percent={percent} label={s.progress.step} className="w-14 shrink-0" />}
        <span className="truncate">{s.progress.step}</span>
      </span>
    );
  }
  if (statusOf(s).group === "unhealthy") return <span className="truncate text-bad-text">{s.reason}</span>;
  return s.endpoint ? (
    <span className="font-mono text-xs">{s.endpoint.replace(/^(\w+:\/\/)?/, "").replace(/\/$/, "")}</span>
  ) : (
    "—"
  );
}

function RowActions({ s }: { s: Service }) {
  const removing = useBusy("REMOVE", s.id) || s.desiredState === "REMOVED";
  const mayRemove = s.allowedActions.includes("REMOVE");
  return (
    <>
      <button
        type="button"
        disabled={removing || !mayRemove}
        onClick={() => dialogs.open({ type: "remove", id: s.id })}
        aria-label={`Remove ${s.name}`}
        className="col-remove min-h-8 items-center gap-1.5 rounded-md px-2 text-[0.8125rem] text-bad-text hover:bg-bad-soft disabled:opacity-50"
      >
        {removing ? <Spinner size={14} /> : <Trash2 size={14} aria-hidden="true" />}
        Remove
      </button>
      <MoreMenu label={`More for ${s.name}`} items={actionsFor(s)} />
    </>
  );
}

/** Returns the actions on a service as items of a menu. */
export function actionsFor(s: Service): MenuItem[] {
  const may = (action: ServiceAction) => s.allowedActions.includes(action);
  const now = () => live.service(s.id) ?? s;
  const items: MenuItem[] = [
    {
      label: "Check now",
      icon: <HeartPulse size={16} aria-hidden="true" />,
      onSelect: () => void checkService(now()),
      disabled: !may("CHECK"),
    },
    may("START")
      ? { label: "Start", icon: <CirclePlay size={16} aria-hidden="true" />, onSelect: () => void startService(now()) }
      : {
          label: "Stop",
          icon: <CircleStop size={16} aria-hidden="true" />,
          onSelect: () => void stopService(now()),
          disabled: !may("STOP"),
        },
    {
      label: "Restart",
      icon: <RotateCw size={16} aria-hidden="true" />,
      onSelect: () => void restartService(now()),
      disabled: !may("RESTART"),
    },
  ];
  if (may("REMOVE")) {
    items.push({
      label: "Remove…",
      icon: <Trash2 size={16} aria-hidden="true" />,
      onSelect: () => dialogs.open({ type: "remove", id: s.id }),
      danger: true,
    });
  }
  return items;
}
