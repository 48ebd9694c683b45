import { describe, expect, it } from "vitest";
import { type Bucket, barsOf, lookOf, wordsOf } from "../src/features/services/uptime";
import type { ServiceUsage } from "../src/features/usage/documents";
import { marksOf } from "../src/features/usage/marks";
import { Sparks } from "../src/features/usage/sparks";
import { gaugesOf } from "../src/features/usage/stats";
import { append, timesOf, trackOf } from "../src/features/usage/track";
import { cores, named, percent } from "../src/lib/format";
import { stored } from "../src/lib/stored";
import { amountOf, axis, axisValue } from "../src/lib/units";
import { event } from "./service";

const at = (seconds: number) => new Date(seconds * 1000).toISOString();

const measured = (seconds: number, more: Partial<ServiceUsage> = {}): ServiceUsage => ({
  serviceId: "s1",
  at: at(seconds),
  cpu: 0.5,
  cpuLimit: null,
  memoryBytes: 100,
  memoryLimitBytes: null,
  diskBytes: null,
  receivedBytesPerSecond: null,
  sentBytesPerSecond: null,
  processes: null,
  descriptors: null,
  ...more,
});

const fields = ["cpu", "memoryBytes", "diskBytes"] as const;
const track = trackOf(
  { from: at(100), stepSeconds: 10, cpu: [0.1, 0.2, null], memoryBytes: [1, 2, null], diskBytes: [7, 7, 7] },
  fields,
);

describe("a track", () => {
  it("takes a measurement into its last step", () => {
    const after = append(track, measured(125));
    expect(timesOf(after)).toEqual([100, 110, 120]);
    expect(after.columns.cpu).toEqual([0.1, 0.2, 0.5]);
    expect(after.columns.memoryBytes).toEqual([1, 2, 100]);
  });

  it("keeps what the measurement does not tell", () => {
    expect(append(track, measured(125)).columns.diskBytes).toEqual([7, 7, 7]);
  });

  it("moves on by one step, and does not change itself", () => {
    const after = append(track, measured(130));
    expect(timesOf(after)).toEqual([110, 120, 130]);
    expect(after.columns.cpu).toEqual([0.2, null, 0.5]);
    expect(track.columns.cpu).toEqual([0.1, 0.2, null]);
  });

  it("leaves a gap for steps without a measurement", () => {
    expect(append(track, measured(141)).columns.memoryBytes).toEqual([null, null, 100]);
    const later = append(track, measured(100_000));
    expect(timesOf(later)).toEqual([99_980, 99_990, 100_000]);
    expect(later.columns.memoryBytes).toEqual([null, null, 100]);
  });

  it("ignores a measurement that is older than its last step", () => {
    expect(append(track, measured(119))).toBe(track);
    expect(append(track, measured(1))).toBe(track);
  });

  it("ignores measurements while it is empty", () => {
    const empty = trackOf({ from: at(0), stepSeconds: 0, cpu: [], memoryBytes: [], diskBytes: [] }, fields);
    expect(append(empty, measured(10))).toBe(empty);
  });
});

describe("sparklines", () => {
  const column = { cpu: [0.1, 0.2], memoryBytes: [1, 2] };
  const source = () => {
    const asked: string[][] = [];
    const followed: { ids: readonly string[]; take: (all: readonly ServiceUsage[]) => void; stopped: boolean }[] = [];
    return {
      asked,
      followed,
      load: async (ids: string[]) => {
        asked.push(ids);
        const from = at(Math.floor(Date.now() / 1000) - 120);
        return ids.map((id) => ({ id, track: trackOf({ from, stepSeconds: 60, ...column }, ["cpu", "memoryBytes"]) }));
      },
      follow: (ids: readonly string[], take: (all: readonly ServiceUsage[]) => void) => {
        const follower = { ids, take, stopped: false };
        followed.push(follower);
        return () => {
          follower.stopped = true;
        };
      },
    };
  };
  const now = (id: string) => measured(Date.now() / 1000, { serviceId: id, cpu: 0.7 });

  it("are loaded and followed for what is in sight, once", async () => {
    const from = source();
    const sparks = new Sparks(from);
    sparks.show(["a", "b"]);
    await new Promise((done) => setTimeout(done));
    sparks.show(["b", "a"]);
    sparks.show(["b"]);
    expect(from.asked).toEqual([["a", "b"]]);
    expect(from.followed.map((f) => f.ids)).toEqual([["a", "b"]]);
    sparks.show(["b", "c"]);
    expect(from.asked[1]).toEqual(["c"]);
    expect(from.followed[0]?.stopped).toBe(true);
    sparks.show([]);
    expect(from.followed[1]?.stopped).toBe(true);
  });

  it("take what is measured, and tell of it row by row", async () => {
    const from = source();
    const sparks = new Sparks(from);
    let [rows, all] = [0, 0];
    sparks.subscribeRow("a", () => rows++);
    sparks.changed.subscribe(() => all++);
    sparks.show(["a", "b"]);
    await new Promise((done) => setTimeout(done));
    expect([rows, all]).toEqual([1, 1]);
    from.followed[0]?.take([now("b")]);
    expect([rows, all]).toEqual([1, 2]);
    from.followed[0]?.take([now("a")]);
    expect([rows, all]).toEqual([2, 3]);
    expect(sparks.get("a")?.now?.cpu).toBe(0.7);
    expect(sparks.get("a")?.track?.columns.cpu.at(-1)).toBe(0.7);
  });

  it("are asked for at most 200 at a time, and a thousand are kept", async () => {
    const from = source();
    const sparks = new Sparks(from);
    const id = (i: number) => `s${i}`;
    for (let page = 0; page < 6; page++) {
      sparks.show(Array.from({ length: 250 }, (_, i) => id(page * 250 + i)));
      await new Promise((done) => setTimeout(done));
    }
    expect(from.asked.map((ids) => ids.length)).toEqual(Array(6).fill(200));
    expect(sparks.get(id(0))).toBeUndefined();
    expect(sparks.get(id(1_250))).toBeDefined();
  });
});

describe("an axis", () => {
  it.each([
    ["cores", 2, [0, 1, 2]],
    ["cores", 0.37, [0, 0.2, 0.4]],
    ["cores", 0, [0, 0.001]],
    ["count", 23, [0, 10, 20, 30]],
    ["count", 0, [0, 1]],
    ["count", 1, [0, 1]],
    ["bytes", 512 * 2 ** 20, [0, 256 * 2 ** 20, 512 * 2 ** 20]],
    ["rate", 700 * 1024, [0, 256 * 1024, 512 * 1024, 768 * 1024]],
  ] as const)("of %s up to %d is round", (unit, max, lines) => {
    expect(axis(unit, max).map((v) => Number(v.toPrecision(12)))).toEqual(lines);
  });

  it("reaches any value with few lines", () => {
    for (const unit of ["cores", "count", "bytes", "rate"] as const) {
      for (let max = 0.0001; max < 1e16; max *= 1.7) {
        const lines = axis(unit, max);
        expect(lines.at(-1)).toBeGreaterThanOrEqual(max);
        expect(lines.length).toBeLessThanOrEqual(5);
      }
    }
  });

  it("names its values", () => {
    expect([axisValue("cores", 0.2), axisValue("bytes", 2 ** 28), axisValue("rate", 1536)]).toEqual([
      "0.2",
      "256 MiB",
      "1.5 KiB/s",
    ]);
    expect([amountOf("cores", 1), amountOf("cores", 0.25), amountOf("count", 1204)]).toEqual([
      "1 core",
      "0.25 cores",
      "1,204",
    ]);
  });
});

describe("numbers", () => {
  it("of cores are short", () => {
    expect([0, 0.0042, 0.42, 1.04, 3.5, 12.34, 128].map(cores)).toEqual([
      "0",
      "0.004",
      "0.42",
      "1.04",
      "3.5",
      "12.3",
      "128",
    ]);
  });

  it("of shares say 100 % only of all", () => {
    expect([1, 0.99999, 0.9998, 0, 0.5].map(percent)).toEqual(["100 %", "99.99 %", "99.98 %", "0.00 %", "50.00 %"]);
  });

  it("have names in words", () => expect(named("connections_used")).toBe("Connections used"));
});

describe("engine stats", () => {
  const stat = (name: string, value: number, unit: "COUNT" | "BYTES" = "COUNT") => ({ name, unit, value, at: at(0) });

  it("put what is used and the most of it together", () => {
    const gauges = gaugesOf([
      stat("connections_used", 12),
      stat("connections_max", 100),
      stat("database_bytes", 1024, "BYTES"),
    ]);
    expect(gauges).toEqual([
      { name: "Connections", value: "12", of: "of 100", share: 0.12 },
      { name: "Database size", value: "1.0 KiB" },
    ]);
  });

  it("show each alone where the other is missing or 0", () => {
    expect(gaugesOf([stat("x_max", 3)])).toEqual([{ name: "X max", value: "3" }]);
    expect(gaugesOf([stat("x_used", 3), stat("x_max", 0)])).toEqual([{ name: "X used", value: "3" }]);
  });
});

describe("marks", () => {
  const crash = event("e3", { at: at(300), phase: "RESTARTING", previousPhase: "RUNNING", health: "UNHEALTHY" });
  const restart = event("e4", { at: at(310), phase: "STARTING", previousPhase: "RESTARTING", health: "STARTING" });
  const healthy = event("e5", { at: at(320) });

  it("are the events that explain a curve, oldest first", () => {
    expect(marksOf([healthy, restart, crash], 0, 1_000)).toEqual([
      { at: 300, group: "unhealthy", text: "Restarting" },
      { at: 310, group: "progress", text: "Restarted" },
    ]);
  });

  it("leave out what is before or after", () => {
    expect(marksOf([restart, crash], 305, 1_000).map((m) => m.at)).toEqual([310]);
    expect(marksOf([restart, crash], 0, 305).map((m) => m.at)).toEqual([300]);
  });

  it("say when memory ran out", () => {
    expect(marksOf([{ ...crash, outOfMemory: true }], 0, 1_000)[0]?.text).toBe("Restarting: out of memory");
  });
});

describe("uptime", () => {
  const bucket = (i: number, more: Partial<Bucket> = {}): Bucket => ({
    from: at(i * 3600),
    to: at((i + 1) * 3600),
    share: 1,
    healthySeconds: 3600,
    downSeconds: 0,
    plannedSeconds: 0,
    unknownSeconds: 0,
    ...more,
  });

  it("has a bar for each bucket as long as there is room", () => {
    const buckets = Array.from({ length: 30 }, (_, i) => bucket(i));
    expect(barsOf(buckets)).toEqual(buckets);
    expect(barsOf([])).toEqual([]);
  });

  it("puts neighbours together, from the newest on", () => {
    const buckets = Array.from({ length: 168 }, (_, i) => bucket(i, { downSeconds: i === 167 ? 100 : 0 }));
    const bars = barsOf(buckets);
    expect(bars).toHaveLength(56);
    expect(bars[55]).toMatchObject({
      from: at(165 * 3600),
      to: at(168 * 3600),
      healthySeconds: 3 * 3600,
      downSeconds: 100,
    });
    expect(bars[55]?.share).toBeCloseTo(10_800 / 10_900);
    expect(barsOf(Array.from({ length: 365 }, (_, i) => bucket(i)))).toHaveLength(53);
  });

  it("shows the worst of a bar", () => {
    expect(lookOf(bucket(0))).toBe("healthy");
    expect(lookOf(bucket(0, { downSeconds: 2 }))).toBe("down");
    expect(lookOf(bucket(0, { healthySeconds: 0, plannedSeconds: 60 }))).toBe("planned");
    expect(lookOf(bucket(0, { healthySeconds: 0, unknownSeconds: 60 }))).toBe("unknown");
    expect(lookOf(bucket(0, { healthySeconds: 0 }))).toBe("none");
  });

  it("is told in words", () => {
    expect(wordsOf(bucket(0, { share: 0.9998, downSeconds: 90, plannedSeconds: 7200, unknownSeconds: 5 }))).toBe(
      "99.98 % healthy, 1 min down, 2 h stopped on purpose, 5 s unknown",
    );
    expect(wordsOf(bucket(0, { share: null, healthySeconds: 0 }))).toBe("did not run yet");
  });
});

describe("choices", () => {
  it("are kept, and what is kept otherwise is ignored", () => {
    localStorage.setItem("test", '{"on":false,"other":true,"off":"yes"}');
    const choices = stored("test", { on: true, off: false });
    expect(choices.get()).toEqual({ on: false, off: false });
    choices.change({ off: true });
    expect(stored("test", { on: true, off: false }).get()).toEqual({ on: false, off: true });
    localStorage.setItem("test", "[broken");
    expect(stored("test", { on: true, off: false }).get()).toEqual({ on: true, off: false });
  });
});
