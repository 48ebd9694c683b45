import { useNavigate, useSearch } from "@tanstack/react-router";
import { Download, RefreshCw, ScrollText } from "lucide-react";
import { useCallback, useEffect, useRef, useState } from "react";
import { Button } from "../../components/Button";
import { cx } from "../../components/cx";
import { Empty, Failure, Loading } from "../../components/Empty";
import { Page } from "../../components/Page";
import { run } from "../../graphql/client";
import { wordsOf } from "../../lib/errors";
import { sentence } from "../../lib/format";
import { absolute, dated } from "../../lib/time";
import { toast } from "../../lib/toast";
import { actionName, actionNames, detailWords, results, wayOf } from "./access";
import { type AuditEntry, type AuditFilter, AuditPage as AuditQuery } from "./documents";
import { download } from "./download";
import { RoleBadge } from "./parts";
import type { AuditSearch } from "./search";

const pageSize = 50;

interface State {
  key: string;
  entries: readonly AuditEntry[];
  cursor: string | null;
  more: boolean;
  loading: boolean;
  error: string;
}

const nothing = (key: string): State => ({ key, entries: [], cursor: null, more: false, loading: true, error: "" });

/** Loads the log page by page. Another filter starts again, and late answers for the previous one are dropped. */
function useAudit(filter: AuditFilter) {
  const key = JSON.stringify(filter);
  const [state, setState] = useState(nothing(key));
  const load = useCallback(
    async (after: string | null) => {
      setState((before) => ({ ...(before.key === key ? before : nothing(key)), loading: true, error: "" }));
      try {
        const { auditLog: page } = await run(AuditQuery, { filter: JSON.parse(key), first: pageSize, after });
        setState((before) =>
          before.key !== key
            ? before
            : {
                key,
                entries: after ? [...before.entries, ...page.nodes] : page.nodes,
                cursor: page.pageInfo.endCursor ?? null,
                more: page.pageInfo.hasNextPage,
                loading: false,
                error: "",
              },
        );
      } catch (error) {
        setState((before) => (before.key === key ? { ...before, loading: false, error: wordsOf(error) } : before));
      }
    },
    [key],
  );
  useEffect(() => void load(null), [load]);
  return { ...(state.key === key ? state : nothing(key)), load };
}

function DownloadAll() {
  const [busy, setBusy] = useState(false);
  const save = async () => {
    setBusy(true);
    try {
      await download("/audit.jsonl", "audit.jsonl");
    } catch (error) {
      toast.failed("The audit log was not saved", error);
    }
    setBusy(false);
  };
  return (
    <Button icon={<Download size={15} aria-hidden="true" />} busy={busy} onClick={() => void save()}>
      Download all
    </Button>
  );
}

/** Who did what, or was refused. */
export function AuditPage() {
  const search = useSearch({ from: "/access/audit" });
  const filter: AuditFilter = { ...search };
  const { entries, more, loading, error, cursor, load } = useAudit(filter);
  const filtered = Object.keys(filter).length > 0;
  return (
    <Page
      title="Audit log"
      toolbar={
        <div className="ml-auto flex flex-wrap gap-2.5">
          <Filters search={search} />
          <Button icon={<RefreshCw size={15} aria-hidden="true" />} busy={loading} onClick={() => void load(null)}>
            Refresh
          </Button>
          <DownloadAll />
        </div>
      }
    >
      {error && entries.length === 0 ? (
        <Failure
          message={error}
          retry={
            <Button small busy={loading} onClick={() => void load(null)}>
              Try again
            </Button>
          }
        />
      ) : entries.length === 0 && loading ? (
        <Loading />
      ) : entries.length === 0 ? (
        <Empty icon={<ScrollText size={22} />} title={filtered ? "Nothing matches" : "No entries yet"}>
          {filtered ? "No entry matches the filters." : "Every action and every refusal appears here."}
        </Empty>
      ) : (
        <div className="p-4 max-sm:px-3">
          <Table entries={entries} />
          {more && (
            <div className="p-4 text-center">
              <Button busy={loading} onClick={() => void load(cursor)}>
                Load older entries
              </Button>
            </div>
          )}
        </div>
      )}
    </Page>
  );
}

const box = "min-h-9 min-w-0 rounded-md border border-line bg-page px-2.5 text-text hover:border-line-strong";

function Filters({ search }: { search: AuditSearch }) {
  const navigate = useNavigate();
  const set = (change: AuditSearch) =>
    void navigate({ to: "/access/audit", search: (before) => ({ ...before, ...change }), replace: true });
  const known = Object.entries(actionNames);
  return (
    <>
      <Actor actor={search.actor ?? ""} set={(actor) => set({ actor: actor || undefined })} />
      <select
        aria-label="Action"
        className={cx(box, "max-sm:w-full")}
        value={search.action ?? ""}
        onChange={(e) => set({ action: e.target.value || undefined })}
      >
        <option value="">All actions</option>
        {search.action && !actionNames[search.action] && <option value={search.action}>{search.action}</option>}
        {known.map(([action, name]) => (
          <option key={action} value={action}>
            {name}
          </option>
        ))}
      </select>
      <select
        aria-label="Result"
        className={cx(box, "max-sm:w-full")}
        value={search.result ?? ""}
        onChange={(e) => set({ result: e.target.value || undefined })}
      >
        <option value="">All results</option>
        {results.map((result) => (
          <option key={result} value={result}>
            {result}
          </option>
        ))}
      </select>
    </>
  );
}

/** Names are matched as a whole, so that one is looked for when it is finished. */
function Actor({ actor, set }: { actor: string; set: (actor: string) => void }) {
  const input = useRef<HTMLInputElement>(null);
  useEffect(() => {
    if (input.current) input.current.value = actor; // the address changed under us: back, forward, a link
  }, [actor]);
  const commit = () => {
    const next = input.current?.value.trim() ?? "";
    if (next !== actor) set(next);
  };
  return (
    <input
      ref={input}
      type="search"
      data-filter
      aria-label="Who"
      placeholder="Who, by name"
      autoComplete="off"
      spellCheck={false}
      defaultValue={actor}
      onBlur={commit}
      onKeyDown={(event) => event.key === "Enter" && commit()}
      className={cx(box, "placeholder:text-muted max-sm:w-full")}
    />
  );
}

// On narrow screens what is hidden here stands under "What".
const columns = [
  { name: "When" },
  { name: "Who", className: "max-sm:hidden" },
  { name: "What" },
  { name: "Result", className: "max-sm:hidden" },
  { name: "From", className: "max-lg:hidden" },
];
const cell = "px-3 py-2.5 align-top";

function Table({ entries }: { entries: readonly AuditEntry[] }) {
  return (
    <section
      aria-label="Audit log, newest first"
      // biome-ignore lint/a11y/noNoninteractiveTabindex: a wide table is scrolled with the keyboard
      tabIndex={0}
      className="overflow-x-auto rounded-xl border border-line bg-surface"
    >
      <table className="w-full text-left">
        <thead className="bg-sunken text-[0.8125rem] text-muted">
          <tr>
            {columns.map(({ name, className }) => (
              <th key={name} scope="col" className={cx("px-3 py-2 font-semibold whitespace-nowrap", className)}>
                {name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody className="divide-y divide-line">
          {entries.map((e) => (
            <Line key={e.id} e={e} />
          ))}
        </tbody>
      </table>
    </section>
  );
}

function Line({ e }: { e: AuditEntry }) {
  const then = Date.parse(e.at);
  const more = [detailWords(e.detail), e.message && sentence(e.message)].filter(Boolean).join(". ");
  return (
    <tr data-audit={e.action}>
      <td className={cx(cell, "numbers text-[0.8125rem] whitespace-nowrap text-muted")}>
        <time dateTime={e.at} title={absolute(then)}>
          {dated(then)}
        </time>
      </td>
      <td className={cx(cell, "min-w-32 [overflow-wrap:anywhere] max-sm:hidden")}>
        <Who e={e} />
      </td>
      <td className={cx(cell, "[overflow-wrap:anywhere]")}>
        <span title={e.action}>{actionName(e.action)}</span>
        {e.target && (
          <span className={e.targetName ? "font-medium" : "font-mono text-[0.8125rem]"} title={e.target}>
            {` ${e.targetName || e.target}`}
          </span>
        )}
        {more && <span className="block text-[0.8125rem] text-muted">{more}</span>}
        <span className="block text-[0.8125rem] text-muted lg:hidden">{wayOf(e)}</span>
        <span className="mt-1 flex flex-wrap items-baseline gap-x-3 sm:hidden">
          <span>
            <Who e={e} />
          </span>
          <Result e={e} />
        </span>
      </td>
      <td className={cx(cell, "max-sm:hidden")}>
        <Result e={e} />
      </td>
      <td className={cx(cell, "text-[0.8125rem] text-muted max-lg:hidden")}>{wayOf(e)}</td>
    </tr>
  );
}

function Who({ e }: { e: AuditEntry }) {
  return (
    <>
      <span className="mr-2 font-medium">{e.actor || "unknown"}</span>
      {e.role && <RoleBadge role={e.role} />}
    </>
  );
}

function Result({ e }: { e: AuditEntry }) {
  return (
    <span className={cx("text-[0.8125rem]", e.result === "OK" ? "text-good-text" : "font-medium text-bad-text")}>
      {e.result}
    </span>
  );
}
