import { run } from "../../graphql/client";
import {
  CheckHealth,
  EndQuarantine,
  Restart,
  type Service,
  type ServiceAction,
  Start,
  Stop,
} from "../../graphql/documents";
import { live } from "../../graphql/live";
import { sentence } from "../../lib/format";
import { createStore, useStore } from "../../lib/store";
import { toast } from "../../lib/toast";

/** The actions in progress, as "action id". */
const busy = createStore<ReadonlySet<string>>(new Set());

export function useBusy(action: ServiceAction, id: string): boolean {
  return useStore(busy, () => busy.get().has(`${action} ${id}`));
}

async function during(action: ServiceAction, id: string, work: () => Promise<void>) {
  const key = `${action} ${id}`;
  if (busy.get().has(key)) return;
  busy.set(new Set(busy.get()).add(key));
  try {
    await work();
  } finally {
    busy.set(new Set([...busy.get()].filter((other) => other !== key)));
  }
}

/** Resolves to true when a service satisfies `condition`, which gets undefined once it is removed; to false after `timeout` ms. */
export function waitUntil(
  id: string,
  condition: (s: Service | undefined) => boolean,
  timeout = 60_000,
): Promise<boolean> {
  if (condition(live.service(id))) return Promise.resolve(true);
  return new Promise((resolve) => {
    const end = (value: boolean) => {
      clearTimeout(timer);
      stop();
      resolve(value);
    };
    const timer = setTimeout(() => end(false), timeout);
    const stop = live.subscribeRow(id, () => {
      if (condition(live.service(id))) end(true);
    });
  });
}

const broken = (s: Service | undefined) => !s || s.phase === "FAILED" || s.phase === "CRASH_LOOP";
const works = (s: Service | undefined) => s?.phase === "RUNNING" && s.health === "HEALTHY";

/** Tells how a launch or start ended, when it has. */
export async function notifyWhenUp(id: string, name: string) {
  const ended = await waitUntil(id, (s) => broken(s) || works(s) || s?.desiredState !== "RUNNING", 10 * 60_000);
  const s = live.service(id);
  if (!ended || !s || s.desiredState !== "RUNNING") return;
  if (works(s)) toast.done(`${name} is healthy`, sentence(s.reason));
  else if (broken(s)) toast.failed(`${name} did not start`, sentence(s.reason));
}

export function startService({ id, name }: Service) {
  return during("START", id, async () => {
    try {
      await run(Start, { id });
      await waitUntil(id, (s) => s?.phase !== "STOPPED" && !broken(s), 5_000);
    } catch (error) {
      return toast.failed(`${name} was not started`, error);
    }
    toast.info(`Starting ${name}`);
    void notifyWhenUp(id, name);
  });
}

export function stopService({ id, name }: Service) {
  return during("STOP", id, async () => {
    try {
      await run(Stop, { id });
    } catch (error) {
      return toast.failed(`${name} was not stopped`, error);
    }
    if (await waitUntil(id, (s) => !s || s.phase === "STOPPED")) {
      toast.done(`${name} is stopped`, "It stays stopped until you start it.");
    } else toast.info(`${name} is still stopping`);
  });
}

export function restartService({ id, name }: Service) {
  return during("RESTART", id, async () => {
    try {
      await run(Restart, { id });
      await waitUntil(id, (s) => !works(s), 1_000); // a quick one may be over before we see it
    } catch (error) {
      return toast.failed(`${name} was not restarted`, error);
    }
    toast.info(`Restarting ${name}`);
    void notifyWhenUp(id, name);
  });
}

export function endQuarantine({ id, name }: Service) {
  return during("END_QUARANTINE", id, async () => {
    try {
      await run(EndQuarantine, { id });
      await waitUntil(id, (s) => !s || s.heldBack === null, 5_000);
      toast.done(`${name} is not in quarantine any more`);
    } catch (error) {
      toast.failed(`${name} stays in quarantine`, error);
    }
  });
}

const checkFailed = {
  ALIVE: (name: string) => `${name} answers but refuses the check`,
  DEAD: (name: string) => `${name} does not answer`,
  NOT_ASKED: (name: string) => `${name} could not be checked`,
};

export function checkService({ id, name }: Service) {
  return during("CHECK", id, async () => {
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
  return during("REMOVE", id, work);
}
