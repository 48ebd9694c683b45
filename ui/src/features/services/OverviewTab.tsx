import { Link } from "@tanstack/react-router";
import { Check } from "lucide-react";
import { type ReactNode, useEffect, useState } from "react";
import { Bar } from "../../components/Bar";
import { Button } from "../../components/Button";
import { CopyButton } from "../../components/Copy";
import { cx } from "../../components/cx";
import { LogLine } from "../../components/LogLine";
import { Mark } from "../../components/Status";
import { Ago } from "../../components/Time";
import { WarningList } from "../../components/Warnings";
import { run, runUncached } from "../../graphql/client";
import { LogTails, type Service, ServiceById } from "../../graphql/documents";
import { live } from "../../graphql/live";
import { sentence } from "../../lib/format";
import { absolute, until, useTicking } from "../../lib/time";
import { can } from "../../model/session";
import { type Group, statusOf } from "../../model/status";
import { useWarnings } from "../../model/warnings";
import type { LogLine as LineOfLog } from "../logs/documents";
import { LogLink } from "../logs/LogLink";
import { LogTail } from "../logs/LogTail";
import { endQuarantine, useBusy } from "./actions";
import { HealthTimeline } from "./HealthTimeline";
import { stepOf, steps } from "./steps";

export function OverviewTab({ s }: { s: Service }) {
  useLastCheck(s.id);
  const step = stepOf(s);
  const launching = step >= 0 && step < done;
  const launched = useRecently(launching) && step === done;
  return (
    <div className="space-y-5 p-4">
      {launching || launched ? <LaunchSteps s={s} step={step} /> : <Reason s={s} />}
      {s.heldBack !== null && <Quarantine s={s} heldBack={s.heldBack} />}
      <WarningList warnings={useWarnings(s.id)} />
      <HealthTimeline s={s} />
      <dl className="grid grid-cols-[7.5rem_minmax(0,1fr)] gap-y-2.5">
        <Fact name="Endpoint">
          {s.endpoint ? (
            <span className="flex items-center gap-1">
              <code className="min-w-0 font-mono text-[0.8125rem] [overflow-wrap:anywhere]">{s.endpoint}</code>
              <CopyButton text={s.endpoint} what="the endpoint" className="-my-1" />
            </span>
          ) : (
            <span className="text-muted">not known yet</span>
          )}
        </Fact>
        <Fact name="Created">
          {absolute(Date.parse(s.createdAt))}
          <span className="text-muted">
            {" "}
            (<Ago at={s.createdAt} />)
          </span>
        </Fact>
        <Fact name="Last check">
          {s.lastHealthCheckAt ? <Ago at={s.lastHealthCheckAt} /> : <span className="text-muted">no check yet</span>}
        </Fact>
        <Fact name="Restarts">{s.restarts === 0 ? "none since launch" : `${s.restarts} since launch`}</Fact>
        {s.nextRestartAt && (
          <Fact name="Next attempt">
            <Countdown at={s.nextRestartAt} />
          </Fact>
        )}
        <Fact name="Node">
          {s.node ? (
            <Link to="/nodes" className="text-accent-text">
              {s.node.name}
            </Link>
          ) : (
            <span className="text-muted">not placed yet</span>
          )}
        </Fact>
      </dl>
    </div>
  );
}

/** What a service that was made from a backup is kept from, and how that ends. */
function Quarantine({ s, heldBack }: { s: Service; heldBack: string }) {
  const busy = useBusy("END_QUARANTINE", s.id);
  return (
    <section aria-label="Quarantine" className="rounded-lg border border-warn bg-warn-soft p-3.5">
      <h3 className="font-medium">In quarantine</h3>
      <p className="[overflow-wrap:anywhere]">
        It was made from a backup, and must not act as the original does: {heldBack}. End the quarantine when the
        original is gone, or does not do the same any more.
      </p>
      {s.allowedActions.includes("END_QUARANTINE") && (
        <Button small look="primary" className="mt-2.5" busy={busy} onClick={() => void endQuarantine(s)}>
          End quarantine
        </Button>
      )}
    </section>
  );
}

function Fact({ name, children }: { name: string; children: ReactNode }) {
  return (
    <>
      <dt className="text-muted">{name}</dt>
      <dd className="numbers min-w-0">{children}</dd>
    </>
  );
}

const lastCheckEvery = 10_000; // ms; the feed does not tell each check

/** Keeps the time of the last check fresh while it is looked at. */
function useLastCheck(id: string) {
  useEffect(() => {
    const look = async () => {
      if (document.visibilityState === "hidden") return;
      const { service } = await run(ServiceById, { id }).catch(() => ({ service: null }));
      const row = live.service(id);
      if (row && service?.lastHealthCheckAt) {
        live.apply({ services: [{ ...row, lastHealthCheckAt: service.lastHealthCheckAt }] });
      }
    };
    void look();
    const timer = setInterval(look, lastCheckEvery);
    return () => clearInterval(timer);
  }, [id]);
}

const boxes: Record<Group, string> = {
  healthy: "border-line",
  suspect: "border-warn bg-warn-soft",
  unhealthy: "border-bad bg-bad-soft",
  progress: "border-line",
  stopped: "border-line",
  unknown: "border-line",
};

/** Why it is as it is, in words, and what comes next. */
function Reason({ s }: { s: Service }) {
  const { group, word } = statusOf(s);
  const failed = group === "unhealthy" && s.phase !== "RUNNING" && s.phase !== "STARTING";
  const tail = useLogTail(s, (failed || s.logLine !== null) && can("readLogs"));
  const broken = s.phase === "CRASH_LOOP" || s.phase === "FAILED";
  return (
    <div className={cx("flex gap-3 rounded-lg border p-3.5", boxes[group])}>
      <span className="mt-1">
        <Mark group={group} size={12} />
      </span>
      <div className="min-w-0 flex-1">
        <p className="font-medium">{word}</p>
        <p className="text-muted [overflow-wrap:anywhere]">{sentence(s.reason)}</p>
        {tail ? (
          <>
            {s.logLine && <LogLine text={s.logLine} />}
            <LogTail key={tail.id} service={s} lines={tail.lines} open={broken} />
          </>
        ) : (
          s.logLine && <LogLine text={s.logLine} link={<LogLink service={s} />} />
        )}
        {s.nextRestartAt && (
          <p className="mt-1">
            Next attempt <Countdown at={s.nextRestartAt} />
          </p>
        )}
      </div>
    </div>
  );
}

const eventsBack = 20; // in which the newest run that failed is looked for

/** The last lines of the newest run that failed, while that matters. */
function useLogTail(s: Service, wanted: boolean) {
  const [tail, setTail] = useState<{ id: string; lines: readonly LineOfLog[] }>();
  // biome-ignore lint/correctness/useExhaustiveDependencies: looked for again when the service is in another state
  useEffect(() => {
    if (!wanted) return setTail(undefined);
    let over = false;
    runUncached(LogTails, { id: s.id, first: eventsBack }).then(
      ({ events }) => {
        const found = events.nodes.find((e) => e.logTail && e.logTail.length > 0);
        if (!over) setTail(found?.logTail ? { id: found.id, lines: found.logTail } : undefined);
      },
      () => {}, // the line that tells why is there all the same
    );
    return () => {
      over = true;
    };
  }, [s.id, s.phase, s.restarts, s.reason, wanted]);
  return tail;
}

function Countdown({ at }: { at: string }) {
  const then = Date.parse(at);
  return <time dateTime={at}>{useTicking((now) => until(then, now))}</time>;
}

const done = steps.length - 1;
const healthyFor = 2_500; // ms that the finished steps stay

function LaunchSteps({ s, step }: { s: Service; step: number }) {
  const percent = s.progress?.percent ?? null;
  const text = s.progress?.step || s.reason;
  return (
    <section aria-label="Launch" className="rounded-lg border border-line p-3.5">
      <ol className="flex items-start">
        {steps.map((name, i) => {
          const state = i < step || step === done ? "done" : i === step ? "now" : "later";
          return (
            <li
              key={name}
              aria-current={state === "now" ? "step" : undefined}
              className="relative flex flex-1 flex-col items-center gap-1.5 text-center"
              data-step={state}
            >
              {i > 0 && (
                <span
                  aria-hidden="true"
                  className={cx(
                    "absolute top-[0.6875rem] right-[calc(50%+1rem)] left-[calc(-50%+1rem)] h-0.5",
                    i <= step ? "bg-accent" : "bg-line",
                  )}
                />
              )}
              <span
                aria-hidden="true"
                className={cx(
                  "flex size-6 items-center justify-center rounded-full border-2 text-xs",
                  state === "done" && "border-accent bg-accent text-on-accent",
                  state === "now" && "border-accent text-accent-text",
                  state === "later" && "border-line text-muted",
                )}
              >
                {state === "done" ? <Check size={14} /> : state === "now" ? <Mark group="progress" size={12} /> : i + 1}
              </span>
              <span className={cx("text-xs", state === "now" ? "font-semibold" : "text-muted")}>
                {name}
                <span className="sr-only">
                  {state === "done" ? ", done" : state === "now" ? ", under way" : ", to come"}
                </span>
              </span>
            </li>
          );
        })}
      </ol>
      <p className="mt-3.5 [overflow-wrap:anywhere]" role="status">
        {sentence(text)}
        {percent !== null && <span className="numbers text-muted"> · {Math.round(percent)} %</span>}
      </p>
      {percent !== null && <Bar percent={percent} label={text} className="mt-2" />}
      {s.logLine && <LogLine text={s.logLine} link={<LogLink service={s} />} />}
    </section>
  );
}

/** Whether something was true within the last moments. */
function useRecently(now: boolean): boolean {
  const [recent, setRecent] = useState(now);
  useEffect(() => {
    if (now) return setRecent(true);
    const timer = setTimeout(() => setRecent(false), healthyFor);
    return () => clearTimeout(timer);
  }, [now]);
  return now || recent;
}
