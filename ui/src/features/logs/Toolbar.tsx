import { useNavigate, useSearch } from "@tanstack/react-router";
import { Check, Clock, Copy, Download as DownloadIcon, Maximize2, Minimize2, Search, WrapText } from "lucide-react";
import { type ReactNode, type RefObject, useEffect, useState } from "react";
import { Button, IconButton } from "../../components/Button";
import { cx } from "../../components/cx";
import { Select } from "../../components/Field";
import type { Service } from "../../graphql/documents";
import { plural } from "../../lib/format";
import { clock, dated } from "../../lib/time";
import { toast } from "../../lib/toast";
import type { FeedState } from "./feed";
import type { LogFilter } from "./filter";
import { type LogListHandle, lineText } from "./LogList";
import { type Prefs, prefs as shownPrefs } from "./prefs";
import type { Run } from "./runs";
import { filterLevels, type LogSearch } from "./search";
import type { Download } from "./useDownload";

interface Props {
  s: Service;
  state: FeedState;
  filter: LogFilter;
  setFilter: (change: LogFilter) => void;
  prefs: Prefs;
  list: RefObject<LogListHandle | null>;
  download: Download;
}

/** Which lines are shown and how, and what can be done with them. */
export function Toolbar({ s, state, filter, setFilter, prefs, list, download }: Props) {
  return (
    <div className="log-tools border-b border-line px-4 py-2.5">
      <SearchBox text={filter.contains ?? ""} set={(contains) => setFilter({ contains })} />
      <div className="log-buttons" role="toolbar" aria-label={`Log of ${s.name}`}>
        <Toggle label="Wrap lines" on={prefs.wrap} set={(wrap) => shownPrefs.change({ wrap })}>
          <WrapText size={16} aria-hidden="true" />
        </Toggle>
        <Toggle label="Show times" on={prefs.times} set={(times) => shownPrefs.change({ times })}>
          <Clock size={16} aria-hidden="true" />
        </Toggle>
        <CopyLines list={list} times={prefs.times} />
        <IconButton label="Download the whole log" onClick={download.start} disabled={download.lines !== undefined}>
          <DownloadIcon size={16} aria-hidden="true" />
        </IconButton>
        <WideToggle />
      </div>
      <div className="log-filters">
        <LevelFilter filter={filter} setFilter={setFilter} />
        <RunFilter filter={filter} setFilter={setFilter} runs={state.runs} />
      </div>
      {download.lines !== undefined && (
        <div className="log-download">
          <progress aria-label="Download of the log" className="log-progress" />
          <span className="numbers flex-1 text-muted">{plural(download.lines, "line")} so far</span>
          <Button small onClick={download.cancel}>
            Cancel
          </Button>
        </div>
      )}
    </div>
  );
}

const searchAfter = 400; // ms without a key
const longest = 100; // characters; the server refuses more

function SearchBox({ text, set }: { text: string; set: (text: string | undefined) => void }) {
  const [typed, setTyped] = useState(text);
  useEffect(() => setTyped(text), [text]);
  useEffect(() => {
    if (typed === text) return;
    const timer = setTimeout(() => set(typed || undefined), searchAfter);
    return () => clearTimeout(timer);
  }, [typed, text, set]);
  return (
    <label className="log-search">
      <span className="sr-only">Search the log</span>
      <Search
        size={15}
        aria-hidden="true"
        className="pointer-events-none absolute top-1/2 left-2.5 -translate-y-1/2 text-muted"
      />
      <input
        type="search"
        data-log-search
        value={typed}
        maxLength={longest}
        placeholder="Search…  /"
        autoComplete="off"
        spellCheck={false}
        aria-keyshortcuts="/"
        onChange={(event) => setTyped(event.target.value)}
        onKeyDown={(event) => event.key === "Enter" && set(typed || undefined)}
        className="min-h-8 w-full rounded-md border border-line bg-page pr-2 pl-8 text-[0.8125rem] placeholder:text-muted hover:border-line-strong"
      />
    </label>
  );
}

interface FilterProps {
  filter: LogFilter;
  setFilter: (change: LogFilter) => void;
}

const filterSelect = "min-h-8! min-w-0 px-2! text-[0.8125rem]";
const levelNames: Record<(typeof filterLevels)[number], string> = {
  WARNING: "Warning and above",
  ERROR: "Error and above",
};

function LevelFilter({ filter, setFilter }: FilterProps) {
  return (
    <Select
      aria-label="Level"
      value={filter.level ?? ""}
      onChange={(event) => setFilter({ level: (event.target.value || undefined) as LogFilter["level"] })}
      className={filterSelect}
    >
      <option value="">All levels</option>
      {filterLevels.map((level) => (
        <option key={level} value={level}>
          {levelNames[level]}
        </option>
      ))}
    </Select>
  );
}

function RunFilter({ filter, setFilter, runs }: FilterProps & { runs: readonly Run[] }) {
  const known = runs.some((run) => run.id === filter.run);
  return (
    <Select
      aria-label="Run"
      value={filter.run ?? ""}
      onChange={(event) => setFilter({ run: event.target.value || undefined })}
      className={filterSelect}
    >
      <option value="">All runs</option>
      {runs.map((run, i) => (
        <option key={run.id} value={run.id}>
          {i === 0 ? "This run" : i === 1 ? "Previous run" : "Run"}, {stamp(run.from)}
        </option>
      ))}
      {filter.run && !known && <option value={filter.run}>Run {filter.run}</option>}
    </Select>
  );
}

/** The clock for what is recent, the date for what is older. */
function stamp(at: string): string {
  const then = Date.parse(at);
  return Date.now() - then < 12 * 3_600_000 ? clock(then) : dated(then);
}

interface ToggleProps {
  label: string;
  on: boolean;
  set: (on: boolean) => void;
  className?: string;
  children: ReactNode;
}

function Toggle({ label, on, set, className, children }: ToggleProps) {
  return (
    <IconButton
      label={label}
      aria-pressed={on}
      onClick={() => set(!on)}
      className={cx(on && "bg-accent-soft text-accent-text!", className)}
    >
      {children}
    </IconButton>
  );
}

function WideToggle() {
  const { wide } = useSearch({ strict: false }) as LogSearch;
  const navigate = useNavigate();
  const set = (on: boolean) =>
    void navigate({
      to: ".",
      search: (before: object) => ({ ...before, wide: on ? "1" : undefined }),
      replace: true,
    } as never);
  return (
    <Toggle label="Use the whole width" on={wide === "1"} set={set} className="max-xl:hidden">
      {wide ? <Minimize2 size={16} aria-hidden="true" /> : <Maximize2 size={16} aria-hidden="true" />}
    </Toggle>
  );
}

function CopyLines({ list, times }: { list: Props["list"]; times: boolean }) {
  const [copied, setCopied] = useState("");
  useEffect(() => {
    if (!copied) return;
    const timer = setTimeout(() => setCopied(""), 2_000);
    return () => clearTimeout(timer);
  }, [copied]);
  const copy = async () => {
    const { lines, selected } = list.current?.toCopy() ?? { lines: [], selected: false };
    if (lines.length === 0) return;
    try {
      await navigator.clipboard.writeText(`${lines.map((line) => lineText(line, times)).join("\n")}\n`);
      setCopied(`${plural(lines.length, selected ? "selected line" : "line")} copied`);
    } catch {
      toast.failed("The lines were not copied", "The browser does not allow it. Select the text and copy it.");
    }
  };
  return (
    <IconButton
      label="Copy the selected lines, or those in sight"
      onMouseDown={(event) => event.preventDefault()} // the selection stays
      onClick={copy}
      className={cx(copied && "text-good-text!")}
    >
      {copied ? <Check size={16} aria-hidden="true" /> : <Copy size={16} aria-hidden="true" />}
      <span className="sr-only" role="status">
        {copied}
      </span>
    </IconButton>
  );
}
