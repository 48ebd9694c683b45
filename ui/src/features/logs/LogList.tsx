import { useVirtualizer } from "@tanstack/react-virtual";
import { ArrowDown, Info } from "lucide-react";
import {
  type ClipboardEvent,
  memo,
  type Ref,
  useCallback,
  useEffect,
  useImperativeHandle,
  useLayoutEffect,
  useRef,
} from "react";
import { Button, Spinner } from "../../components/Button";
import { cx } from "../../components/cx";
import { plural } from "../../lib/format";
import type { LogLine } from "./documents";
import { capacity, type Entry, type FeedState, type Gap, isGap, type LogFeed } from "./feed";
import { highlight } from "./filter";
import type { Prefs } from "./prefs";
import { dayOf, levelWords, timeOf } from "./text";

const lineHeight = 20;
const gapHeight = 40;
const headHeight = 36;
const byPersonWithin = 1_000; // ms from a key, the wheel or a finger to the scrolling that it causes
const upwards = ["ArrowUp", "PageUp", "Home", " "]; // keys; the last with Shift
const nearTop = 400; // pixels from the top at which the page before is loaded
const shownWhenCut = 1_000; // characters of a line that is not wrapped; more do not fit on any screen

/** What the list can be asked for. */
export interface LogListHandle {
  /** The lines that are selected or, without a selection, those in sight. */
  toCopy(): { lines: LogLine[]; selected: boolean };
}

interface Props {
  feed: LogFeed;
  state: FeedState;
  label: string;
  follow: boolean;
  onFollow: (follow: boolean) => void;
  prefs: Prefs;
  ref: Ref<LogListHandle>;
}

/** The lines of a log. Only those in sight are rendered. */
export function LogList({ feed, state, label, follow, onFollow, prefs, ref }: Props) {
  const { ring } = feed;
  const { wrap, times } = prefs;
  const scroller = useRef<HTMLDivElement>(null);
  const first = ring.first;
  const rows = useVirtualizer({
    count: ring.size,
    getScrollElement: () => scroller.current,
    estimateSize: (index) => {
      const entry = ring.at(index);
      return entry && isGap(entry) ? gapHeight : lineHeight;
    },
    getItemKey: useCallback((index: number) => first + index, [first]),
    paddingStart: headHeight,
    paddingEnd: 8,
    overscan: 8,
    anchorTo: "end", // what is in sight stays where it is when older lines are added, or dropped
    followOnAppend: follow,
    scrollEndThreshold: lineHeight,
  });
  // biome-ignore lint/correctness/useExhaustiveDependencies: all rows have other heights then
  useLayoutEffect(() => rows.measure(), [wrap, times]);

  // What the person did last counts, also where rows are rendered before the tab is.
  const following = useRef(follow);
  const touched = useRef(Number.NEGATIVE_INFINITY); // when the person last did something that may scroll
  /** Follows from now on: what scrolls upwards next is no longer what the person did before, except a drag of the bar. */
  const noteFollow = useCallback((next: boolean) => {
    following.current = next;
    if (next && touched.current !== Number.POSITIVE_INFINITY) touched.current = Number.NEGATIVE_INFINITY;
  }, []);
  useLayoutEffect(() => noteFollow(follow), [follow, noteFollow]);
  const setFollow = (next: boolean) => {
    noteFollow(next);
    onFollow(next);
  };
  // After each rendering: the end moves with new lines, and with each row that is measured.
  useLayoutEffect(() => {
    const view = scroller.current;
    if (following.current && view && restOf(view) > 1) view.scrollTop = view.scrollHeight;
  });

  const height = rows.scrollRect?.height;
  const { older } = state;
  // biome-ignore lint/correctness/useExhaustiveDependencies: looked at again whenever something was added
  useEffect(() => {
    const view = scroller.current;
    if (!view || older !== "more") return;
    if (view.scrollHeight <= view.clientHeight || (!follow && view.scrollTop < nearTop)) void feed.loadOlder();
  }, [feed, follow, state, older, height]);

  const top = useRef(0);
  const touch = () => {
    touched.current = performance.now();
  };
  const onScroll = () => {
    const view = scroller.current;
    if (!view) return;
    const rest = restOf(view);
    if (view.scrollTop < top.current && rest > 2) {
      // Rows that are measured move the end too: only the person pauses.
      if (performance.now() - touched.current < byPersonWithin) setFollow(false);
      else if (following.current) view.scrollTop = view.scrollHeight;
    }
    if (view.scrollTop > top.current && rest <= lineHeight) setFollow(true);
    top.current = view.scrollTop;
    if (!follow && view.scrollTop < nearTop && feed.get().older === "more") void feed.loadOlder();
  };

  const selected = useCallback((): LogLine[] => {
    const selection = getSelection();
    const view = scroller.current;
    if (!selection || selection.isCollapsed || !view) return [];
    return [...view.querySelectorAll<HTMLElement>("[data-line]")]
      .filter((row) => selection.containsNode(row, true))
      .map((row) => ring.at(Number(row.dataset.index)))
      .filter((entry): entry is LogLine => entry !== undefined && !isGap(entry));
  }, [ring]);

  useImperativeHandle(ref, () => ({
    toCopy() {
      const lines = selected();
      if (lines.length > 0) return { lines, selected: true };
      const view = scroller.current;
      if (!view) return { lines, selected: false };
      const [from, to] = [view.scrollTop, view.scrollTop + view.clientHeight];
      const inSight = rows.getVirtualItems().filter((item) => item.end > from + 4 && item.start < to - 4);
      return {
        lines: inSight
          .map((item) => ring.at(item.index))
          .filter((entry): entry is LogLine => entry !== undefined && !isGap(entry)),
        selected: false,
      };
    },
  }));

  // Rows are boxes side by side: the browser would put each on a line of its own.
  const onCopy = (event: ClipboardEvent) => {
    const lines = selected();
    if (lines.length < 2) return;
    event.clipboardData.setData("text/plain", lines.map((line) => lineText(line, times)).join("\n"));
    event.preventDefault();
  };

  const today = dayOf(new Date().toISOString());
  const oldest = ring.at(0);
  const dated = oldest !== undefined && !isGap(oldest) && dayOf(oldest.at) !== today;
  return (
    <div
      ref={scroller}
      role="log"
      aria-live="off"
      aria-label={label}
      // biome-ignore lint/a11y/noNoninteractiveTabindex: it is scrolled with the keyboard
      tabIndex={0}
      data-log
      data-first={first}
      onScroll={onScroll}
      onPointerDown={() => {
        touched.current = Number.POSITIVE_INFINITY; // the bar may be dragged for as long as one wants
      }}
      onPointerUp={touch}
      onPointerCancel={touch}
      onTouchMove={touch}
      onWheel={(event) => {
        if (event.deltaY < 0) touch();
        const view = scroller.current;
        if (event.deltaY < 0 && view && view.scrollHeight > view.clientHeight) setFollow(false);
      }}
      onKeyDown={(event) => {
        if (upwards.includes(event.key)) touch();
        if (event.key === "End") setFollow(true); // the end moves while the rows there are measured
      }}
      onCopy={onCopy}
      className={cx(
        "log min-h-0 flex-1 overflow-x-hidden overflow-y-auto bg-page -outline-offset-2",
        wrap && "log-wrap",
      )}
    >
      <div className="relative" style={{ height: rows.getTotalSize() }}>
        <Head state={state} onRetry={() => void feed.loadOlder()} />
        {rows.getVirtualItems().map((item) => {
          const entry = ring.at(item.index);
          if (!entry) return null;
          const measure = wrap && !isGap(entry) ? rows.measureElement : undefined;
          return (
            <div
              key={item.key}
              ref={measure}
              data-index={item.index}
              data-line={isGap(entry) ? undefined : ""}
              className="absolute inset-x-0 top-0"
              style={{ transform: `translateY(${item.start}px)` }}
            >
              {isGap(entry) ? (
                <GapRow
                  gap={entry}
                  fill={() => {
                    setFollow(false);
                    void feed.fill(entry);
                  }}
                />
              ) : (
                <Line
                  line={entry}
                  starts={startsRun(entry, ring.at(item.index - 1))}
                  find={state.filter.contains}
                  wrap={wrap}
                  times={times}
                  dated={dated}
                />
              )}
            </div>
          );
        })}
      </div>
    </div>
  );
}

/** How many pixels are below what is in sight. */
const restOf = (view: HTMLElement) => view.scrollHeight - view.clientHeight - view.scrollTop;

/** A line as it is copied. */
export const lineText = (line: LogLine, times: boolean) => (times ? `${line.at} ${line.text}` : line.text);

/** Reports whether the line is the first of another run than the one before it. */
function startsRun(line: LogLine, before: Entry | undefined): boolean {
  return line.run !== null && before !== undefined && !isGap(before) && before.run !== null && before.run !== line.run;
}

/** What stands above the oldest line. */
function Head({ state, onRetry }: { state: FeedState; onRetry: () => void }) {
  const { older } = state;
  return (
    <div
      className="absolute inset-x-0 top-0 flex items-center justify-center gap-2 text-[0.8125rem] text-muted"
      style={{ height: headHeight }}
    >
      {older === "loading" && (
        <>
          <Spinner size={13} /> Loading older lines
        </>
      )}
      {older === "none" && <span>{state.phase === "ready" ? "Nothing older is kept" : ""}</span>}
      {older === "full" && `${plural(capacity, "line")} are loaded. Search or download to see older ones.`}
      {older === "failed" && (
        <>
          Older lines could not be loaded.
          <Button small look="ghost" onClick={onRetry}>
            Try again
          </Button>
        </>
      )}
    </div>
  );
}

function GapRow({ gap, fill }: { gap: Gap; fill: () => void }) {
  return (
    <div
      data-gap={gap.gap}
      className="flex items-center gap-2 border-y border-warn bg-warn-soft px-3 font-sans text-[0.8125rem] text-warn-text"
      style={{ height: gapHeight }}
    >
      <Info size={14} aria-hidden="true" className="shrink-0" />
      {gap.gap === "dropped" ? (
        <>
          <span className="min-w-0 flex-1 truncate">
            {plural(gap.count, "line was", "lines were")} left out: they came too fast to be shown.
          </span>
          <Button small onClick={fill}>
            Load them
          </Button>
        </>
      ) : (
        <span className="min-w-0 flex-1 truncate">
          Lines were left out: they are not kept any more. A higher logs.maxMiB in the template keeps more.
        </span>
      )}
    </div>
  );
}

interface LineProps {
  line: LogLine;
  starts: boolean;
  find: string | undefined;
  wrap: boolean;
  times: boolean;
  dated: boolean;
}

const Line = memo(function Line({ line, starts, find, wrap, times, dated }: LineProps) {
  const { clock, fraction } = timeOf(line.at);
  const text = wrap ? line.text : line.text.slice(0, shownWhenCut);
  const parts = highlight(text, find);
  return (
    <div
      className="log-line"
      data-level={line.level ?? undefined}
      data-stream={line.stream}
      data-starts={starts || undefined}
    >
      {times && (
        <time dateTime={line.at} title={`${line.at}, ${streamWords[line.stream]}`} className="log-time">
          {dated && `${dayOf(line.at)} `}
          {clock}
          <span className="log-fraction">{fraction}</span>
        </time>
      )}
      <span className="log-level" title={streamWords[line.stream]}>
        {line.stream === "NOTE" ? "uws" : line.level && levelWords[line.level]}
      </span>
      <span className="log-text" dir="ltr">
        {parts.length === 1
          ? text
          : parts.map((part, i) =>
              // biome-ignore lint/suspicious/noArrayIndexKey: the parts have no identity
              i % 2 === 1 ? <mark key={i}>{part}</mark> : part,
            )}
      </span>
      {starts && <span className="log-starts">new run</span>}
    </div>
  );
});

const streamWords: Record<LogLine["stream"], string> = {
  STDOUT: "standard output",
  STDERR: "standard error",
  NOTE: "a note by uws",
};

/** Goes back to the newest line. It floats above the list while following is paused. */
export function FollowButton({ arrived, onClick }: { arrived: number; onClick: () => void }) {
  return (
    <Button
      small
      look="primary"
      className="absolute bottom-3 left-1/2 -translate-x-1/2 rounded-full! shadow-float"
      icon={<ArrowDown size={14} aria-hidden="true" />}
      onClick={onClick}
    >
      {arrived > 0 ? `${plural(arrived, "new line")} – Follow` : "Follow"}
    </Button>
  );
}
