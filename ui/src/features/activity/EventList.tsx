import { Link } from "@tanstack/react-router";
import { ChevronRight, Server } from "lucide-react";
import { useState } from "react";
import { Button } from "../../components/Button";
import { cx } from "../../components/cx";
import { Empty, Failure, Loading } from "../../components/Empty";
import { LogLine } from "../../components/LogLine";
import { Mark } from "../../components/Status";
import { Ago } from "../../components/Time";
import type { UwsEvent } from "../../graphql/documents";
import { plural, sentence } from "../../lib/format";
import { clock, dated, until, useTicking } from "../../lib/time";
import { useService } from "../../model/hooks";
import { kindNames, pathOf } from "../../model/kinds";
import { LogLink } from "../logs/LogLink";
import { type Events, type Fold, fold } from "./events";
import { exitWords, groupOf, headline } from "./words";

interface Props {
  from: Events;
  /** Leaves out what is the same in each. */
  ofOneService?: boolean;
  empty: string;
  dense?: boolean;
}

export function EventList({ from, ofOneService = false, empty, dense = false }: Props) {
  const { events, loading, error, more, loadMore, retry } = from;
  if (error && events.length === 0) {
    return (
      <Failure
        message={error}
        retry={
          <Button small onClick={retry} busy={loading}>
            Try again
          </Button>
        }
      />
    );
  }
  if (loading && events.length === 0) return <Loading rows={5} />;
  if (events.length === 0) {
    return (
      <Empty icon={<Server size={20} />} title="No events yet">
        {empty}
      </Empty>
    );
  }
  return (
    <>
      <ol className="divide-y divide-line" aria-label="Events, newest first">
        {fold(events).map((f) => (
          <Item key={f.event.id} fold={f} ofOneService={ofOneService} dense={dense} />
        ))}
      </ol>
      {more && !dense && (
        <div className="p-4 text-center">
          <Button onClick={loadMore} busy={loading}>
            Load older events
          </Button>
        </div>
      )}
    </>
  );
}

function Item({
  fold: { event, followers },
  ofOneService,
  dense,
}: {
  fold: Fold;
  ofOneService: boolean;
  dense: boolean;
}) {
  const [open, setOpen] = useState(false);
  return (
    <li className={cx("px-4", dense ? "py-2.5" : "py-3")}>
      <EventLine e={event} ofOneService={ofOneService} dense={dense} />
      {followers.length > 0 && (
        <div className="mt-1 ml-5">
          <button
            type="button"
            aria-expanded={open}
            onClick={() => setOpen(!open)}
            className="inline-flex min-h-7 items-center gap-1 rounded text-[0.8125rem] text-accent-text hover:underline"
          >
            <ChevronRight size={14} aria-hidden="true" className={cx("transition-transform", open && "rotate-90")} />
            {plural(followers.length, "service was", "services were")} affected
          </button>
          {open && (
            <ol className="mt-1 space-y-2.5 border-l border-line pl-4">
              {followers.map((e) => (
                <li key={e.id}>
                  <EventLine e={e} ofOneService={false} dense={dense} />
                </li>
              ))}
            </ol>
          )}
        </div>
      )}
    </li>
  );
}

function EventLine({ e, ofOneService, dense }: { e: UwsEvent; ofOneService: boolean; dense: boolean }) {
  const ended = exitWords(e.exitCode, e.outOfMemory);
  return (
    <div className="flex items-start gap-2.5">
      <span className="mt-1 flex">
        <Mark group={groupOf(e)} size={10} still />
      </span>
      <div className="min-w-0 flex-1">
        <p className="flex flex-wrap items-baseline gap-x-2">
          {!ofOneService && <Subject e={e} />}
          <span className={ofOneService ? "font-medium" : "text-muted"}>{headline(e)}</span>
          <span className="ml-auto flex items-baseline gap-2 text-[0.8125rem] text-muted">
            {ofOneService && <span className="numbers">{stamp(e.at)}</span>}
            <Ago at={e.at} />
          </span>
        </p>
        <p className="text-[0.8125rem] text-muted [overflow-wrap:anywhere]">
          {sentence(e.reason)}
          {ended && !e.reasonParameters?.signal && `. ${ended}`}
          {e.attempt > 1 && e.phase === "RESTARTING" && `. Failure ${e.attempt} in 10 min`}
          {e.nextAttemptAt && <Next at={e.nextAttemptAt} />}
        </p>
        {e.logLine && !dense && <LogLine text={e.logLine} />}
        {!dense && <EventLogLink e={e} />}
      </div>
    </div>
  );
}

function EventLogLink({ e }: { e: UwsEvent }) {
  const service = useService(e.serviceId ?? "");
  const run = e.logTail?.at(-1)?.run ?? undefined;
  if (!service || (!run && !e.logLine)) return null;
  return (
    <p className="mt-1 text-[0.8125rem]">
      <LogLink service={service} run={run} />
    </p>
  );
}

/** The clock for today, the date for what is older. */
function stamp(at: string): string {
  const then = Date.parse(at);
  return Date.now() - then < 12 * 3_600_000 ? clock(then) : dated(then);
}

function Next({ at }: { at: string }) {
  const then = Date.parse(at);
  const text = useTicking((now) => (then > now ? `. Next attempt ${until(then, now)}` : ""));
  return text;
}

function Subject({ e }: { e: UwsEvent }) {
  const exists = useService(e.serviceId ?? "") !== undefined;
  if (e.subject === "NODE") {
    return (
      <Link to="/nodes" className="font-medium text-text no-underline hover:underline">
        {e.nodeName ?? "A node"}
      </Link>
    );
  }
  if (e.subject === "INSTALLATION") return <span className="font-medium">Data folder</span>;
  const name = e.serviceName ?? "A service";
  if (!exists || !e.kind || !e.serviceId) return <span className="font-medium">{name}</span>;
  return (
    <Link
      to="/$list/$id"
      params={{ list: pathOf[e.kind], id: e.serviceId }}
      className="font-medium text-text no-underline hover:underline"
      title={kindNames[e.kind]}
    >
      {name}
    </Link>
  );
}
