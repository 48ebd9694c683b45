import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { LogBatch, LogLine } from "../src/features/logs/documents";
import { wholeLog } from "../src/features/logs/download";
import { type Entry, isGap, LogFeed, type LogSource } from "../src/features/logs/feed";
import { highlight, type LogFilter, matcher } from "../src/features/logs/filter";
import { Ring } from "../src/features/logs/ring";
import { Runs } from "../src/features/logs/runs";
import { logSearch } from "../src/features/logs/search";
import { ApiError } from "../src/lib/errors";

const items = <T>(ring: Ring<T>) => Array.from({ length: ring.size }, (_, i) => ring.at(i));

describe("Ring", () => {
  it("drops the oldest beyond its capacity, and keeps sequence numbers", () => {
    const ring = new Ring<string>(3);
    for (const item of ["a", "b", "c"]) expect(ring.push(item)).toBe(false);
    expect(ring.push("d")).toBe(true);
    expect(items(ring)).toEqual(["b", "c", "d"]);
    expect(ring.first).toBe(1);
    expect(ring.at(3)).toBeUndefined();
    expect(ring.at(-1)).toBeUndefined();
  });

  it("takes older items before the oldest, as many as fit", () => {
    const ring = new Ring<number>(5);
    ring.push(10);
    ring.push(11);
    expect(ring.prepend([8, 9])).toBe(2);
    expect(ring.first).toBe(-2);
    expect(ring.prepend([5, 6, 7])).toBe(1);
    expect(items(ring)).toEqual([7, 8, 9, 10, 11]);
    expect(ring.room).toBe(0);
    ring.push(12);
    expect(items(ring)).toEqual([8, 9, 10, 11, 12]);
  });

  it("never uses a sequence number twice", () => {
    const ring = new Ring<string>(4);
    ring.push("a");
    ring.push("b");
    ring.clear();
    ring.push("c");
    expect(ring.first).toBe(2);
    ring.push("d");
    ring.drop(1);
    expect(items(ring)).toEqual(["d"]);
    expect(ring.first).toBe(3);
  });
});

const line = (n: number, more: Partial<LogLine> = {}): LogLine => ({
  cursor: String(n),
  at: new Date(Date.UTC(2026, 0, 1) + n * 1_000).toISOString(),
  stream: "STDOUT",
  level: "INFO",
  run: "r1",
  text: `line ${n}`,
  ...more,
});

describe("matcher", () => {
  const text = (t: string) => line(1, { text: t });
  it("finds text in upper or lower case", () => {
    expect(matcher({ contains: "FATAL error" })(text("a fatal Error b"))).toBe(true);
    expect(matcher({ contains: "x" })(text("a fatal Error b"))).toBe(false);
    expect(matcher({ contains: "ÄRGER" })(text("kein ärger"))).toBe(true);
    expect(matcher({ contains: "ΟΔΟΣ ΑΒ" })(text("οδοσ αβ"))).toBe(true);
    expect(matcher({ contains: "istanbul" })(text("İSTANBUL"))).toBe(true);
    expect(matcher({ contains: "(.*" })(text("a (.* b"))).toBe(true);
  });
  it("takes a level and more severe ones, and no line without a level", () => {
    const selects = matcher({ level: "WARNING" });
    const got = (["DEBUG", "INFO", "WARNING", "ERROR", "FATAL", null] as const).map((level) =>
      selects(line(1, { level })),
    );
    expect(got).toEqual([false, false, true, true, true, false]);
    expect(matcher({})(line(1, { level: null }))).toBe(true);
  });
  it("takes the lines of one run", () => {
    expect(matcher({ run: "r1" })(line(1))).toBe(true);
    expect(matcher({ run: "r1" })(line(1, { run: "r2" }))).toBe(false);
    expect(matcher({ run: "r1" })(line(1, { run: null }))).toBe(false);
  });
});

describe("highlight", () => {
  it("splits at matches, whatever characters they have", () => {
    expect(highlight("one Two two", "two")).toEqual(["one ", "Two", " ", "two", ""]);
    expect(highlight("one", undefined)).toEqual(["one"]);
    expect(highlight("a [b](c) d/e-f", "[B](C)")).toEqual(["a ", "[b](c)", " d/e-f"]);
    expect(highlight("a/b-c|d{e}^$", "/b-c|d{e}^$")).toEqual(["a", "/b-c|d{e}^$", ""]);
    expect(highlight("no", "x")).toEqual(["no"]);
  });
  it("stops after a hundred matches, and loses no text", () => {
    const parts = highlight("x".repeat(5_000), "x");
    expect(parts.length).toBeLessThan(210);
    expect(parts.join("")).toHaveLength(5_000);
  });
});

describe("Runs", () => {
  it("lists the runs that were seen, newest first, with the time of their oldest line", () => {
    const runs = new Runs();
    runs.see([line(10, { run: "a" }), line(20, { run: "b" }), line(21, { run: "b" }), line(22, { run: null })]);
    expect(runs.list).toEqual([
      { id: "b", from: line(20).at },
      { id: "a", from: line(10).at },
    ]);
    const before = runs.list;
    runs.see([line(30, { run: "b" })]);
    expect(runs.list).toBe(before);
    runs.see([line(5, { run: "a" }), line(6, { run: "a" })]);
    expect(runs.list.at(-1)).toEqual({ id: "a", from: line(5).at });
  });
});

/** A log by the rules of the API. A cursor is the number of a line or, with an "e", of the one that follows. */
class Server implements LogSource {
  lines: LogLine[] = [];
  kept = 0; // lines before it are not kept any more
  failure: ApiError | undefined;
  pages: LogFilter[] = [];
  private sinks: { next: (batch: LogBatch) => void; ended: (e?: ApiError) => void; since: () => string | undefined }[] =
    [];
  private sent = 0;

  add(n: number, more: Partial<LogLine> = {}) {
    for (let i = 0; i < n; i++) this.lines.push(line(this.lines.length, more));
  }

  page: LogSource["page"] = async (query) => {
    this.pages.push(query);
    if (this.failure) throw this.failure;
    const end = query.before === undefined ? this.lines.length : Number(query.before.replace("e", ""));
    const all = this.lines.slice(this.kept, end).filter(matcher(query));
    const nodes = all.slice(-query.first);
    return { nodes, pageInfo: { endCursor: `e${end}`, hasPreviousPage: all.length > nodes.length } };
  };

  follow: LogSource["follow"] = (since, next, ended) => {
    const sink = { next, ended, since };
    this.sinks.push(sink);
    this.sent = Number((since() ?? `e${this.lines.length}`).replace("e", ""));
    return () => {
      this.sinks = this.sinks.filter((s) => s !== sink);
    };
  };

  get followers() {
    return this.sinks.length;
  }

  /** Sends what was added since the last message. */
  send(more: Partial<LogBatch> = {}) {
    const lines = this.lines.slice(this.sent + (more.dropped ?? 0));
    this.sent = this.lines.length;
    const batch = { lines, dropped: 0, reset: false, cursor: `e${this.lines.length}`, ...more };
    for (const { next } of this.sinks) next(batch);
  }

  /** The connection is lost and made again: the subscription goes on from the cursor of then. */
  reconnect() {
    for (const { since } of this.sinks) this.sent = Number(since()?.replace("e", ""));
  }

  end(error?: ApiError) {
    const sinks = this.sinks;
    this.sinks = [];
    for (const { ended } of sinks) ended(error);
  }
}

describe("LogFeed", () => {
  let server: Server;
  beforeEach(() => {
    vi.useFakeTimers();
    server = new Server();
  });
  afterEach(() => vi.useRealTimers());

  const frame = () => vi.advanceTimersByTimeAsync(20);
  const shown = (feed: LogFeed) => items<Entry>(feed.ring).map((e) => (e && !isGap(e) ? e.cursor : e?.gap));
  const numbers = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => String(from + i));
  async function begin(filter: LogFilter = {}, size?: number) {
    const feed = new LogFeed(server, size);
    feed.start(filter);
    await frame();
    return feed;
  }

  it("begins with the newest page, goes on with live lines and back with older pages: no gap, no double", async () => {
    server.add(1_234);
    const feed = await begin();
    expect(shown(feed)).toEqual(numbers(734, 1_234));
    server.add(3);
    server.send();
    await frame();
    await feed.loadOlder();
    server.add(2);
    server.send();
    await frame();
    await feed.loadOlder();
    expect(shown(feed)).toEqual(numbers(0, 1_239));
    expect(feed.get()).toMatchObject({ phase: "ready", older: "none", arrived: 5 });
    await feed.loadOlder();
    expect(server.pages).toHaveLength(3);
  });

  it("goes on from the newest message after a reconnect", async () => {
    server.add(2);
    const feed = await begin();
    server.add(2);
    server.send();
    server.add(3); // while nothing is connected
    server.reconnect();
    server.send();
    await frame();
    expect(shown(feed)).toEqual(numbers(0, 7));
  });

  it("tells its listeners once a frame", async () => {
    const feed = await begin();
    const listener = vi.fn();
    feed.subscribe(listener);
    for (let i = 0; i < 10; i++) {
      server.add(5);
      server.send();
    }
    expect(listener).not.toHaveBeenCalled();
    await frame();
    expect(listener).toHaveBeenCalledTimes(1);
    expect(feed.ring.size).toBe(50);
  });

  it("does not wait for a frame with thousands of lines: a hidden tab has none", async () => {
    const feed = await begin();
    server.add(6_000);
    server.send();
    expect(feed.ring.size).toBe(6_000);
  });

  it("selects live lines as the server selects pages", async () => {
    server.add(3);
    server.add(3, { level: "ERROR" });
    const feed = await begin({ level: "WARNING", contains: "LINE" });
    expect(shown(feed)).toEqual(["3", "4", "5"]);
    server.add(2);
    server.add(1, { level: "FATAL" });
    server.add(1, { level: "FATAL", text: "other" });
    server.send();
    await frame();
    expect(shown(feed)).toEqual(["3", "4", "5", "8"]);
    expect(feed.get().arrived).toBe(1);
  });

  it("keeps what is shown until the lines of another filter are there", async () => {
    server.add(2);
    server.add(1, { run: "r2" });
    const feed = await begin();
    feed.start({ run: "r2" });
    expect(feed.get()).toMatchObject({ phase: "loading", filter: {} });
    expect(feed.ring.size).toBe(3);
    await frame();
    expect(shown(feed)).toEqual(["2"]);
    expect(feed.get()).toMatchObject({ phase: "ready", filter: { run: "r2" } });
    expect(server.followers).toBe(1);
  });

  it("ignores the answer to a filter that was replaced", async () => {
    server.add(2);
    const feed = new LogFeed(server);
    feed.start({ contains: "nothing" });
    feed.start({});
    await frame();
    expect(shown(feed)).toEqual(["0", "1"]);
  });

  it("lists the newest run although the lines of another are shown", async () => {
    server.add(2, { run: "old" });
    server.add(2, { run: "new" });
    const feed = await begin({ run: "old" });
    expect(feed.get().runs.map((r) => r.id)).toEqual(["new", "old"]);
  });

  it("drops the oldest lines when it is full, and loads them again", async () => {
    server.add(8);
    const feed = await begin({}, 10);
    server.add(4);
    server.send();
    await frame();
    expect(shown(feed)).toEqual(numbers(2, 12));
    expect(feed.get().older).toBe("more");
    await feed.loadOlder();
    expect(feed.get().older).toBe("full");
    feed.start({});
    await frame();
    expect(shown(feed)).toEqual(numbers(2, 12));
  });

  it("loads as many older lines as fit", async () => {
    server.add(900);
    const feed = await begin({}, 700);
    await feed.loadOlder();
    expect(shown(feed)).toEqual(numbers(200, 900));
    expect(feed.get().older).toBe("more");
    await feed.loadOlder();
    expect(feed.get().older).toBe("full");
  });

  it("does not put an older page before a line that was dropped meanwhile", async () => {
    server.add(600);
    const feed = await begin({}, 501);
    const loading = feed.loadOlder();
    server.add(2);
    server.send();
    await frame();
    await loading;
    expect(shown(feed)).toEqual(numbers(101, 602));
  });

  it("drops nothing while it is held: lines that do not fit are counted, and loaded afterwards", async () => {
    server.add(8);
    const feed = await begin({}, 10);
    feed.hold(true);
    server.add(5);
    server.send();
    await frame();
    expect(shown(feed)).toEqual(numbers(0, 10));
    expect(feed.get().arrived).toBe(5);
    feed.hold(false);
    await frame();
    expect(shown(feed)).toEqual(numbers(3, 13));
    server.add(1);
    server.send();
    await frame();
    expect(shown(feed)).toEqual(numbers(4, 14));
  });

  it("shows where lines were left out, and loads them", async () => {
    server.add(2);
    const feed = await begin();
    server.add(10);
    server.send({ dropped: 7 });
    await frame();
    expect(shown(feed)).toEqual(["0", "1", "dropped", "9", "10", "11"]);
    const gap = feed.ring.at(2);
    if (!gap || !isGap(gap)) throw new Error("no gap");
    expect(gap.count).toBe(7);
    await feed.fill(gap);
    expect(shown(feed)).toEqual(numbers(0, 12));
  });

  it("loads what was left out although no line is shown after it", async () => {
    server.add(10, { level: "ERROR" });
    const feed = await begin({ level: "ERROR" });
    server.add(3, { level: "ERROR" });
    server.add(2);
    server.send({ dropped: 3 });
    await frame();
    const gap = feed.ring.at(10);
    if (!gap || !isGap(gap)) throw new Error("no gap");
    await feed.fill(gap);
    expect(shown(feed)).toEqual(numbers(0, 13));
  });

  it("shows that lines are not kept any more, and looks for nothing older", async () => {
    server.add(900);
    const feed = await begin();
    server.add(5);
    server.send({ reset: true, lines: server.lines.slice(903) });
    await frame();
    expect(shown(feed).slice(-3)).toEqual(["reset", "903", "904"]);
    expect(feed.get().older).toBe("none");
  });

  it("tries again while the server does not answer", async () => {
    server.add(2);
    server.failure = new ApiError("no answer", "NETWORK", "");
    const feed = await begin();
    expect(feed.get().phase).toBe("loading");
    server.failure = undefined;
    await vi.advanceTimersByTimeAsync(1_100);
    expect(shown(feed)).toEqual(["0", "1"]);
  });

  it("says what is wrong when trying again would not help", async () => {
    server.failure = new ApiError("Too long.", "INVALID_INPUT", "contains");
    const feed = await begin();
    expect(feed.get()).toMatchObject({ phase: "failed", error: "Too long." });
    server.failure = undefined;
    feed.restart();
    await frame();
    expect(feed.get().phase).toBe("ready");
  });

  it("says that an older page failed, and loads it on request", async () => {
    server.add(600);
    const feed = await begin();
    server.failure = new ApiError("no answer", "NETWORK", "");
    await feed.loadOlder();
    expect(feed.get().older).toBe("failed");
    server.failure = undefined;
    await feed.loadOlder();
    expect(shown(feed)).toEqual(numbers(0, 600));
  });

  it("ends when the service is removed", async () => {
    server.add(1);
    const feed = await begin();
    server.end();
    await vi.advanceTimersByTimeAsync(1_100);
    expect(server.followers).toBe(1); // it looks whether there is more
    server.end(new ApiError("There is none.", "NOT_FOUND", "id"));
    expect(feed.get().phase).toBe("gone");
    await vi.advanceTimersByTimeAsync(5_000);
    expect(server.followers).toBe(0);
  });

  it("begins with the newest page when its cursor is refused", async () => {
    server.add(1);
    const feed = await begin();
    server.lines = [];
    server.add(3, { run: "restored" });
    server.end(new ApiError("No cursor.", "INVALID_INPUT", "since"));
    await vi.advanceTimersByTimeAsync(1_100);
    expect(shown(feed)).toEqual(["0", "1", "2"]);
    expect(server.followers).toBe(1);
  });

  it("does nothing once it is stopped", async () => {
    const feed = await begin();
    server.add(1);
    server.send();
    feed.stop();
    await frame();
    expect(feed.ring.size).toBe(0);
    expect(server.followers).toBe(0);
  });
});

describe("wholeLog", () => {
  it("pages back to the oldest line, and writes them in order", async () => {
    const server = new Server();
    server.add(2_345);
    const progress = vi.fn();
    const text = await (await wholeLog(server, progress, new AbortController().signal)).text();
    const lines = text.split("\n");
    expect(lines).toHaveLength(2_346);
    expect(lines[0]).toBe("2026-01-01T00:00:00.000000Z stdout r1 line 0");
    expect(lines[2_344]).toMatch(/ line 2344$/);
    expect(progress.mock.calls.map(([n]) => n)).toEqual([1_000, 2_000, 2_345]);
  });

  it("stops when it is cancelled", async () => {
    const server = new Server();
    server.add(5_000);
    const control = new AbortController();
    const download = wholeLog(server, () => control.abort(), control.signal);
    await expect(download).rejects.toThrow();
    expect(server.pages).toHaveLength(2);
  });
});

describe("logSearch", () => {
  it("takes what it knows from the address", () => {
    expect(logSearch({ contains: "x", level: "ERROR", run: "r1", wide: "1", other: "y" })).toEqual({
      contains: "x",
      level: "ERROR",
      run: "r1",
      wide: "1",
    });
    expect(logSearch({ contains: "", level: "LOUD", run: 7, wide: "yes" })).toEqual({});
  });
});
