import { run } from "../../graphql/client";
import { CheckHealth, Restart, type Service, Start, Stop } from "../../graphql/documents";
import { live } from "../../graphql/live";
import { sentence } from "../../lib/format";
import { createStore, useStore } from "../../lib/store";
import { toast } from "../../lib/toast";

export type Verb = "start" | "stop" | "restart" | "check" | "remove";

/** The actions in progress, as "verb id". */
const busy = createStore<ReadonlySet<string>>(new Set());

export function useBusy(verb: Verb, id: string): boolean {
  return useStore(busy, () => busy.get().has(`${verb} ${id}`));
}

async function during(verb: Verb, id: string, work: () => Promise<void>) {
  const key = `${verb} ${id}`;
  if (busy.get().has(key)) return;
  busy.set(new Set(busy.get()).add(key));
  try {
    await work();
  } finally {
    busy.set(new Set([...busy.get()].filter((other) => other !== key)));
  }
}

/** Waits until what the feed says of a service satisfies `settled`; false after `patience` ms. */
export function settle(id: string, settled: (s: Service | undefined) => boolean, patience = 60_000): Promise<boolean> {
  if (settled(live.service(id))) return Promise.resolve(true);
  return new Promise((resolve) => {
    const end = (value: boolean) => {
      clearTimeout(timer);
      stop();
      resolve(value);
    };
    const timer = setTimeout(() => end(false), patience);
    const stop = live.subscribeRow(id, () => {
      if (settled(live.service(id))) end(true);
    });
  });
}

const broken = (s: Service | undefined) => !s || s.phase === "FAILED" || s.phase === "CRASH_LOOP";
const works = (s: Service | undefined) => s?.phase === "RUNNING" && s.health === "HEALTHY";

/** Tells how a launch or start ended, when it has. */
export async function notifyWhenUp(id: string, name: string) {
  const ended = await settle(id, (s) => broken(s) || works(s) || s?.desiredState !== "RUNNING", 10 * 60_000);
  const s = live.service(id);
  if (!ended || !s || s.desiredState !== "RUNNING") return;
  if (works(s)) toast.done(`${name} is healthy`, sentence(s.reason));
  else if (broken(s)) toast.failed(`${name} did not start`, sentence(s.reason));
}

export function startService({ id, name }: Service) {
  return during("start", id, async () => {
    try {
      await run(Start, { id });
      await settle(id, (s) => s?.phase !== "STOPPED" && !broken(s), 5_000);
    } catch (error) {
      return toast.failed(`${name} was not started`, error);
    }
    toast.info(`Starting ${name}`);
    void notifyWhenUp(id, name);
  });
}

export function stopService({ id, name }: Service) {
  return during("stop", id, async () => {
    try {
      await run(Stop, { id });
    } catch (error) {
      return toast.failed(`${name} was not stopped`, error);
    }
    if (await settle(id, (s) => !s || s.phase === "STOPPED")) {
      toast.done(`${name} is stopped`, "It stays stopped until you start it.");
    } else toast.info(`${name} is still stopping`);
  });
}

export function restartService({ id, name }: Service) {
  return during("restart", id, async () => {
    try {
      await run(Restart, { id });
      await settle(id, (s) => !works(s), 1_000); // a quick one may be over before we see it
    } catch (error) {
      return toast.failed(`${name} was not restarted`, error);
    }
    toast.info(`Restarting ${name}`);
    void notifyWhenUp(id, name);
  });
}

const checkFailed = {
  ALIVE: (name: string) => `${name} answers but refuses the check`,
  DEAD: (name: string) => `${name} does not answer`,
  NOT_ASKED: (name: string) => `${name} could not be checked`,
};

export function checkService({ id, name }: Service) {
  return during("check", id, async () => {
    try {
      const { checkServiceHealth: c } = await run(CheckHealth, { id });
      const row = live.service(id);
      if (row) live.apply({ services: [{ ...row, lastHealthCheckAt: c.at }] });
      const took = `${sentence(c.detail)} (${Math.max(1, Math.round(c.durationSeconds * 1000))} ms)`;
      if (c.verdict === "OK") toast.done(`${name} answers`, took);
      else toast.failed(checkFailed[c.verdict](name), took);
    } catch (error) {
      toast.failed(`${name} was not checked`, error);
    }
  });
}

export function duringRemoval(id: string, work: () => Promise<void>) {
  return during("remove", id, work);
}

/** What can be done with a service now. */
export function allowed(s: Service): Record<Verb, boolean> {
  const going = s.desiredState !== "REMOVED";
  const wantsToRun = s.desiredState === "RUNNING";
  return {
    start: going && (!wantsToRun || s.phase === "FAILED" || s.phase === "CRASH_LOOP"),
    stop: going && wantsToRun,
    restart: going && wantsToRun && s.phase !== "PENDING",
    check: going && (s.phase === "RUNNING" || s.phase === "STARTING"),
    remove: going,
  };
}
