import { useNavigate, useSearch } from "@tanstack/react-router";
import { FileSearch, ScrollText, TextSearch, Unplug } from "lucide-react";
import { type ReactNode, useCallback, useEffect, useMemo, useRef, useState } from "react";
import { Button } from "../../components/Button";
import { Empty, Failure, Loading } from "../../components/Empty";
import { Mark } from "../../components/Status";
import type { Service } from "../../graphql/documents";
import { plural } from "../../lib/format";
import { useStore } from "../../lib/store";
import { useNodes, useSocketState } from "../../model/hooks";
import { can } from "../../model/session";
import { type FeedState, LogFeed, type LogSource } from "./feed";
import { isFiltered, type LogFilter } from "./filter";
import { FollowButton, LogList, type LogListHandle } from "./LogList";
import { prefs } from "./prefs";
import type { LogSearch } from "./search";
import { logOf } from "./source";
import { Toolbar } from "./Toolbar";
import { useDownload } from "./useDownload";
import "./logs.css";

/** The log of a service: the newest lines, and what is written from now on. */
export default function LogsTab({ s }: { s: Service }) {
  if (can("readLogs")) return <Log key={s.id} s={s} />;
  return (
    <Empty icon={<ScrollText size={20} />} title="You may not read logs">
      What services write can hold data of their users. You need the role OPERATOR to read it.
    </Empty>
  );
}

function Log({ s }: { s: Service }) {
  const [filter, setFilter] = useFilter();
  const source = useMemo(() => logOf(s.id), [s.id]);
  const feed = useFeed(source, filter);
  const state = useStore(feed);
  const shown = useStore(prefs);
  const [paused, setPaused] = useState<{ at: number }>(); // how many lines had arrived by then
  const list = useRef<LogListHandle>(null);
  const download = useDownload(source, s.name);

  const onFollow = useCallback(
    (follow: boolean) => {
      feed.hold(!follow);
      setPaused((before) => (follow ? undefined : (before ?? { at: feed.get().arrived })));
    },
    [feed],
  );
  // Other lines are shown from the newest on.
  // biome-ignore lint/correctness/useExhaustiveDependencies: whenever the filter is another
  useEffect(() => onFollow(true), [filter, onFollow]);
  const follow = !paused;
  const clear = () => setFilter({ contains: undefined, level: undefined, run: undefined });
  return (
    <div className="log-panel flex h-full min-h-0 flex-col">
      <Toolbar
        s={s}
        state={state}
        filter={filter}
        setFilter={setFilter}
        prefs={shown}
        list={list}
        download={download}
      />
      <Notices s={s} />
      <div className="relative flex min-h-0 flex-1 flex-col">
        <Content s={s} feed={feed} state={state} filtered={isFiltered(state.filter)} clear={clear}>
          <LogList
            ref={list}
            feed={feed}
            state={state}
            label={`Log of ${s.name}`}
            follow={follow}
            onFollow={onFollow}
            prefs={shown}
          />
          {paused && <FollowButton arrived={state.arrived - paused.at} onClick={() => onFollow(true)} />}
        </Content>
      </div>
      <StatusBar state={state} follow={follow} lines={feed.ring.size} />
    </div>
  );
}

/** The filter in the address. */
function useFilter(): [LogFilter, (change: LogFilter) => void] {
  const { contains, level, run } = useSearch({ strict: false }) as LogSearch;
  const navigate = useNavigate();
  const filter = useMemo(() => ({ contains, level, run }), [contains, level, run]);
  const setFilter = useCallback(
    (change: LogFilter) =>
      void navigate({ to: ".", search: (before: object) => ({ ...before, ...change }), replace: true } as never),
    [navigate],
  );
  return [filter, setFilter];
}

function useFeed(source: LogSource, filter: LogFilter): LogFeed {
  const feed = useMemo(() => new LogFeed(source), [source]);
  useEffect(() => {
    feed.start(filter);
    return () => feed.stop();
  }, [feed, filter]);
  return feed;
}

interface ContentProps {
  s: Service;
  feed: LogFeed;
  state: FeedState;
  filtered: boolean;
  clear: () => void;
  children: ReactNode;
}

/** The lines, or why there are none. */
function Content({ s, feed, state, filtered, clear, children }: ContentProps) {
  if (state.phase === "gone") {
    return (
      <Empty icon={<FileSearch size={20} />} title="The log was deleted">
        {s.name} was removed, and its log with it.
      </Empty>
    );
  }
  if (state.phase === "failed") {
    return (
      <Failure
        message={state.error}
        retry={
          <Button small onClick={() => feed.restart()}>
            Try again
          </Button>
        }
      />
    );
  }
  if (feed.ring.size > 0) return children;
  if (state.phase === "loading") return <Loading rows={10} />;
  if (filtered) {
    return (
      <Empty
        icon={<TextSearch size={20} />}
        title="No line matches"
        actions={<Button onClick={clear}>Clear the filters</Button>}
      >
        New lines that match appear here.
      </Empty>
    );
  }
  return (
    <Empty icon={<ScrollText size={20} />} title="No output yet">
      What {s.name} writes to its standard output and standard error appears here at once.
    </Empty>
  );
}

const noticeAfter = 1_500; // ms offline

/** Why no new lines may come. */
function Notices({ s }: { s: Service }) {
  const offline = useSocketState() !== "live";
  const [late, setLate] = useState(false);
  useEffect(() => {
    if (!offline) return setLate(false);
    const timer = setTimeout(() => setLate(true), noticeAfter);
    return () => clearTimeout(timer);
  }, [offline]);
  const node = useNodes().find((n) => n.id === s.node?.id);
  return (
    <div role="status">
      {offline && late ? (
        <Notice>Disconnected. The log continues where it stopped once the server answers again.</Notice>
      ) : (
        node &&
        !node.healthy && (
          <Notice>
            The node {node.name} does not answer. What {s.name} writes meanwhile appears when it does.
          </Notice>
        )
      )}
    </div>
  );
}

function Notice({ children }: { children: ReactNode }) {
  return (
    <p className="flex items-start gap-2 border-b border-warn bg-warn-soft px-4 py-2 text-[0.8125rem] text-warn-text">
      <Unplug size={15} aria-hidden="true" className="mt-0.5 shrink-0" />
      <span className="min-w-0 [overflow-wrap:anywhere]">{children}</span>
    </p>
  );
}

function StatusBar({ state, follow, lines }: { state: FeedState; follow: boolean; lines: number }) {
  const offline = useSocketState() !== "live";
  const loading = state.phase === "loading";
  const [group, word] = offline
    ? (["unhealthy", "Disconnected"] as const)
    : loading
      ? (["progress", "Loading"] as const)
      : follow
        ? (["healthy", "Following"] as const)
        : (["stopped", "Paused"] as const);
  return (
    <div className="flex min-h-8 items-center justify-between gap-3 border-t border-line px-4 text-[0.8125rem] text-muted">
      <span role="status" data-log-state={word.toLowerCase()} className="inline-flex items-center gap-2">
        <Mark group={group} size={9} />
        {word}
      </span>
      <span data-log-lines className="numbers">
        {plural(lines, "line")}
      </span>
    </div>
  );
}
