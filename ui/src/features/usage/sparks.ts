import { runUncached } from "../../graphql/client";
import { socketState } from "../../graphql/socket";
import { Signal } from "../../lib/store";
import { type ServiceUsage, UseOfMany } from "./documents";
import { followUse } from "./live";
import { append, type Track, trackOf } from "./track";

const points = 60; // of an hour
const stale = 90_000; // ms without news until the history is loaded again
const mostKept = 1_000; // services
const mostAsked = 200; // services, in one query or subscription

/** What one service used in the last hour, and uses now. */
export interface Spark {
  track: Track<"cpu" | "memoryBytes"> | undefined;
  now: ServiceUsage | undefined;
  at: number; // ms, of the newest load or measurement
}

/** Where use comes from; the API, or a test. */
export interface SparkSource {
  load: (ids: string[]) => Promise<{ id: string; track: NonNullable<Spark["track"]> }[]>;
  follow: (ids: readonly string[], take: (services: readonly ServiceUsage[]) => void) => () => void;
}

const api: SparkSource = {
  load: async (ids) => {
    const { usageHistory } = await runUncached(UseOfMany, { ids, points });
    return usageHistory.map((h) => ({ id: h.id, track: trackOf(h, ["cpu", "memoryBytes"]) }));
  },
  follow: followUse,
};

/** The last hour of the services that are in sight. What has left the sight is kept for a while. */
export class Sparks {
  private sparks = new Map<string, Spark>();
  private rows = new Map<string, Signal>();
  private shown: readonly string[] = [];
  private stop = () => {};

  constructor(private readonly source: SparkSource = api) {}

  /** Emits when something changed of services in sight. */
  readonly changed = new Signal();

  get = (id: string) => this.sparks.get(id);

  subscribeRow(id: string, listener: () => void) {
    const row = this.rows.get(id) ?? new Signal();
    this.rows.set(id, row);
    const end = row.subscribe(listener);
    return () => {
      end();
      if (row.size === 0) this.rows.delete(id);
    };
  }

  /** Follows these services instead of those before. */
  show(ids: readonly string[]) {
    const wanted = ids.slice(0, mostAsked);
    if (wanted.every((id) => this.shown.includes(id)) && wanted.length > 0) return;
    this.stop();
    this.shown = wanted;
    this.stop = wanted.length > 0 ? this.source.follow(wanted, (services) => this.take(services)) : () => {};
    void this.refresh();
  }

  /** Loads the history of the services in sight of which nothing was heard for a while. */
  async refresh() {
    const ids = this.shown.filter((id) => Date.now() - (this.sparks.get(id)?.at ?? 0) > stale || !this.get(id)?.track);
    if (ids.length === 0) return;
    for (const { id, track } of await this.source.load(ids).catch(() => [])) {
      this.put(id, { now: this.get(id)?.now, track, at: Date.now() });
    }
    this.changed.emit();
  }

  private take(services: readonly ServiceUsage[]) {
    for (const now of services) {
      const track = this.get(now.serviceId)?.track;
      this.put(now.serviceId, { now, track: track && append(track, now), at: Date.now() });
    }
    this.changed.emit();
  }

  private put(id: string, spark: Spark) {
    this.sparks.delete(id); // the newest is last
    this.sparks.set(id, spark);
    for (const oldest of this.sparks.keys()) {
      if (this.sparks.size <= mostKept) break;
      this.sparks.delete(oldest);
    }
    this.rows.get(id)?.emit();
  }
}

export const sparks = new Sparks();

const every = 60_000; // ms between two looks for services that went silent

/** Keeps what is shown fresh until the function that it returns is called. */
export function startSparks(): () => void {
  const timer = setInterval(() => document.visibilityState === "visible" && void sparks.refresh(), every);
  const end = socketState.subscribe(() => socketState.get() === "live" && void sparks.refresh());
  return () => {
    clearInterval(timer);
    end();
    sparks.show([]);
  };
}
