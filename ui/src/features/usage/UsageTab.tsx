import { type ReactNode, useMemo } from "react";
import type { Service } from "../../graphql/documents";
import { bytes, cores, count } from "../../lib/format";
import { useNodes } from "../../model/hooks";
import { useEvents } from "../activity/events";
import type { ServiceUsage } from "./documents";
import { Meter } from "./Meter";
import { marksOf } from "./marks";
import { OverTime, useUseRange } from "./OverTime";
import { gaugesOf } from "./stats";
import { lengthOf } from "./track";
import { type Now, useNow, useServicePast } from "./useUse";

/** What a service uses, now and over time. */
export default function UsageTab({ s }: { s: Service }) {
  return <Usage key={s.id} s={s} />;
}

function Usage({ s }: { s: Service }) {
  const [range, setRange] = useUseRange();
  const now = useNow(s.id);
  const past = useServicePast(s.id, range, now?.usage ?? null);
  const track = past.data?.track;
  const from = track?.from ?? 0;
  const to = track ? from + lengthOf(track) * track.step : 0;
  const { events } = useEvents({ serviceId: s.id }, { size: 100, backTo: from * 1000 });
  const marks = useMemo(() => marksOf(events, from, to), [events, from, to]);
  const { cpuLimit, memoryLimitBytes } = now?.usage ?? limitsOf(s);
  const limits = useMemo(() => ({ cpu: cpuLimit, memoryBytes: memoryLimitBytes }), [cpuLimit, memoryLimitBytes]);
  return (
    <div className="space-y-5 p-4">
      <Notice s={s} measured={now?.usage !== null} />
      {now && <Current now={now} running={s.phase !== "STOPPED"} />}
      <OverTime
        past={past}
        range={range}
        setRange={setRange}
        limits={limits}
        marks={marks}
        since={Date.parse(s.createdAt) / 1000}
      />
    </div>
  );
}

/** Why there are no numbers of now. */
function Notice({ s, measured }: { s: Service; measured: boolean }) {
  const node = useNodes().find((n) => n.id === s.node?.id);
  if (node && !node.healthy) {
    return <Note>The node {node.name} does not answer. What its services use is measured again when it is back.</Note>;
  }
  if (s.desiredState === "STOPPED") return <Note>The service is stopped: it uses nothing but disk.</Note>;
  if (!measured && s.phase !== "RUNNING") return <Note>The service does not run: there is nothing to measure.</Note>;
  return null;
}

function Note({ children }: { children: ReactNode }) {
  return (
    <p role="status" className="rounded-lg bg-sunken px-3.5 py-2.5 text-muted">
      {children}
    </p>
  );
}

function Current({ now: { usage, stats }, running }: { now: Now; running: boolean }) {
  const gauges = gaugesOf(stats);
  return (
    <>
      {usage && running && (
        <dl className={meters} aria-label="Now">
          <Meters usage={usage} />
        </dl>
      )}
      {gauges.length > 0 && running && (
        <section aria-labelledby="engine-stats">
          <h2 id="engine-stats" className="mb-2 font-medium">
            Reported by the engine
          </h2>
          <dl className={meters}>
            {gauges.map((g) => (
              <Meter key={g.name} {...g} />
            ))}
          </dl>
        </section>
      )}
    </>
  );
}

const meters = "grid grid-cols-2 gap-2 min-[420px]:grid-cols-3";

function Meters({ usage: u }: { usage: ServiceUsage }) {
  const share = (part: number | null, all: number | null) => (part !== null && all ? part / all : undefined);
  return (
    <>
      <Meter
        name="CPU"
        value={u.cpu === null ? "—" : cores(u.cpu)}
        of={u.cpuLimit === null ? "cores" : `of ${cores(u.cpuLimit)} ${u.cpuLimit === 1 ? "core" : "cores"}`}
        share={share(u.cpu, u.cpuLimit)}
      />
      <Meter
        name="Memory"
        value={bytes(u.memoryBytes)}
        of={u.memoryLimitBytes === null ? undefined : `of ${bytes(u.memoryLimitBytes)}`}
        share={share(u.memoryBytes, u.memoryLimitBytes)}
      />
      {u.diskBytes !== null && <Meter name="Disk" value={bytes(u.diskBytes)} />}
      {u.processes !== null && <Meter name="Processes" value={count(u.processes)} />}
      {u.descriptors !== null && <Meter name="Descriptors" value={count(u.descriptors)} />}
    </>
  );
}

/** The limits of a service that is not measured now. */
function limitsOf({ limits }: Service) {
  return {
    cpuLimit: limits?.cpus ?? null,
    memoryLimitBytes: limits?.memoryMiB ? limits.memoryMiB * 1024 * 1024 : null,
  };
}
