import { useSyncExternalStore } from "react";
import { run } from "../graphql/client";
import { CheckHealth, Restart, type Service, Start, Stop, UpdateNode, type UwsNode } from "../graphql/documents";
import { live } from "../graphql/live";
import { toast } from "./toast";
import { because, sentence } from "./words";

export type Verb = "start" | "stop" | "restart" | "check" | "remove";

// What is under way, as "verb id".
const busy = new Set<string>();
const listeners = new Set<() => void>();
const tell = () => {
  for (const listener of listeners) listener();
};
const subscribe = (listener: () => void) => {
  listeners.add(listener);
  return () => void listeners.delete(listener);
};

export function useBusy(verb: Verb, id: string): boolean {
  return useSyncExternalStore(subscribe, () => busy.has(`${verb} ${id}`));
}

async function during(verb: Verb, id: string, work: () => Promise<void>) {
  const key = `${verb} ${id}`;
  if (busy.has(key)) return;
  busy.add(key);
  tell();
  try {
    await work();
  } finally {
    busy.delete(key);
    tell();
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
export async function tellWhenUp(id: string, name: string) {
  const ended = await settle(id, (s) => broken(s) || works(s) || s?.desiredState !== "RUNNING", 10 * 60_000);
  const s = live.service(id);
  if (!ended || !s || s.desiredState !== "RUNNING") return;
  if (works(s)) toast.done(`${name} is healthy`, because(s.reason));
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
    void tellWhenUp(id, name);
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
      toast.done(`${name} is stopped`, "It stays stopped until it is started.");
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
    void tellWhenUp(id, name);
  });
}

export function checkService({ id, name }: Service) {
  return during("check", id, async () => {
    try {
      const { checkServiceHealth: c } = await run(CheckHealth, { id });
      const row = live.service(id);
      if (row) live.apply({ services: [{ ...row, lastHealthCheckAt: c.at }] });
      const took = `${sentence(c.detail)} (${Math.max(1, Math.round(c.durationSeconds * 1000))} ms)`;
      if (c.verdict === "OK") toast.done(`${name} answers`, took);
      else toast.failed(c.verdict === "ALIVE" ? `${name} answers, but refuses` : `${name} does not answer`, took);
    } catch (error) {
      toast.failed(`${name} was not checked`, error);
    }
  });
}

/** Lets a node take no new services, or take them again. */
export async function drainNode({ id, name }: UwsNode, draining: boolean) {
  try {
    const { updateNode } = await run(UpdateNode, { id, input: { draining } });
    live.apply({ nodes: [updateNode] });
    if (draining) toast.done(`${name} is draining`, "It takes no new services. Those that are there stay.");
    else toast.done(`${name} takes services again`);
  } catch (error) {
    toast.failed(draining ? `${name} is not draining` : `${name} is still draining`, error);
  }
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
