import { ApiError, wordsOf } from "../../lib/errors";
import { Signal } from "../../lib/store";
import type { LogBatch, LogLine, LogPage } from "./documents";
import { type LogFilter, matcher } from "./filter";
import { Ring } from "./ring";
import { Runs } from "./runs";

export const capacity = 100_000; // lines in memory
export const pageSize = 500; // lines
const again = 1_000; // ms between attempts
const maxPending = 5_000; // lines that wait for a frame, which do not come while the tab is hidden

/** Where lines are missing. */
export interface Gap {
  gap: "dropped" | "reset";
  /** How many lines are missing; of "dropped" only. */
  count: number;
  /** The cursor of what follows: older lines are before it. */
  before: string;
}

export type Entry = LogLine | Gap;
export const isGap = (entry: Entry): entry is Gap => "gap" in entry;

/** What the feed reads from: the API or, in tests, something else. */
export interface LogSource {
  page(query: LogFilter & { first: number; before?: string | undefined }): Promise<LogPage>;
  /** Subscribes. `since` is asked at each connection. It ends by itself only with `ended`. */
  follow(
    since: () => string | undefined,
    next: (batch: LogBatch) => void,
    ended: (error?: ApiError) => void,
  ): () => void;
}

export interface FeedState {
  /** "loading": the first page has not arrived. "gone": the service was removed. */
  phase: "loading" | "ready" | "failed" | "gone";
  error: string;
  /** What the lines in the ring were selected by; that of the newest filter once its first page has arrived. */
  filter: LogFilter;
  older: "none" | "more" | "loading" | "failed" | "full";
  runs: Runs["list"];
  /** How many lines arrived live. */
  arrived: number;
}

/**
 * LogFeed fills a ring with the log of one service: the newest page, older ones on request, and what is written from then on.
 * Listeners are called at most once a frame.
 */
export class LogFeed {
  readonly ring: Ring<Entry>;
  private readonly runs = new Runs();
  private readonly changed = new Signal();
  private state: FeedState = {
    phase: "loading",
    error: "",
    filter: {},
    older: "none",
    runs: this.runs.list,
    arrived: 0,
  };
  private wanted: LogFilter = {};
  private selects = matcher({});
  private cursor: string | undefined; // of the newest message; what the subscription goes on from
  private edge: string | undefined; // the cursor of what follows, while the ring is empty
  private pending: Entry[] = [];
  private frame: number | undefined;
  private retry: ReturnType<typeof setTimeout> | undefined;
  private unfollow: () => void = () => {};
  private generation = 0; // of the filter: answers to an older one are void
  private holding = false;
  private skipped = false; // lines that arrived while holding are not in the ring

  constructor(
    private readonly source: LogSource,
    size = capacity,
  ) {
    this.ring = new Ring(size);
  }

  subscribe = this.changed.subscribe;
  get = () => this.state;

  /** Shows the lines that a filter selects, from the newest page on. */
  start(filter: LogFilter) {
    this.stop();
    this.wanted = filter;
    this.holding = false;
    this.skipped = false;
    this.set({ phase: "loading", error: "" });
    void this.loadNewest(this.generation);
  }

  /** Begins again from the newest page. */
  restart() {
    this.start(this.wanted);
  }

  stop() {
    this.generation++;
    this.unfollow();
    this.unfollow = () => {};
    clearTimeout(this.retry);
    if (this.frame !== undefined) cancelAnimationFrame(this.frame);
    this.frame = undefined;
    this.pending = [];
  }

  /**
   * While held, no line that is in the ring is dropped for new ones: they are only counted once it is full. Letting go starts
   * again from the newest page if that was so.
   */
  hold(on: boolean) {
    this.holding = on;
    if (!on && this.skipped) this.restart();
  }

  private async loadNewest(generation: number) {
    const filter = this.wanted;
    try {
      const page = await this.source.page({ ...filter, first: pageSize });
      if (generation !== this.generation) return;
      this.selects = matcher(filter);
      this.ring.clear();
      this.skipped = false;
      for (const line of page.nodes) this.ring.push(line);
      this.runs.see(page.nodes);
      this.cursor = page.pageInfo.endCursor ?? undefined;
      this.set({ phase: "ready", filter, older: page.pageInfo.hasPreviousPage ? "more" : "none", error: "" });
      this.follow(generation);
      if (filter.run) void this.seeNewestRun(generation);
    } catch (error) {
      this.fail(generation, error, () => this.loadNewest(generation));
    }
  }

  /** Makes the newest run known, which the lines of another run do not show. */
  private async seeNewestRun(generation: number) {
    const page = await this.source.page({ first: 1 }).catch(() => undefined);
    if (!page || generation !== this.generation) return;
    this.runs.see(page.nodes);
    this.set({});
  }

  private follow(generation: number) {
    let over = false; // an error may be followed by the end
    this.unfollow = this.source.follow(
      () => this.cursor,
      (batch) => {
        if (generation === this.generation) this.take(batch);
      },
      (error) => {
        if (over || generation !== this.generation) return;
        over = true;
        if (error && error.code !== "NOT_FOUND" && error.code !== "NETWORK") {
          // The cursor is of no use any more: begin with the newest page.
          this.retry = setTimeout(() => this.loadNewest(generation), again);
        } else this.fail(generation, error, () => this.follow(generation));
      },
    );
  }

  /** Tries again after a failure that passes, and says so after one that does not. */
  private fail(generation: number, error: unknown, repeat: () => void) {
    if (generation !== this.generation) return;
    const code = error instanceof ApiError ? error.code : error === undefined ? "NETWORK" : "";
    if (code === "NOT_FOUND") this.set({ phase: "gone" });
    else if (["NETWORK", "UNAVAILABLE", "RATE_LIMITED"].includes(code)) this.retry = setTimeout(repeat, again);
    else this.set({ phase: "failed", error: wordsOf(error) });
  }

  private take(batch: LogBatch) {
    this.cursor = batch.cursor;
    this.runs.see(batch.lines);
    const before = batch.lines[0]?.cursor ?? batch.cursor;
    if (batch.reset) this.pending.push({ gap: "reset", count: 0, before });
    if (batch.dropped > 0) this.pending.push({ gap: "dropped", count: batch.dropped, before });
    for (const line of batch.lines) if (this.selects(line)) this.pending.push(line);
    if (this.pending.length > maxPending) this.flush();
    else this.frame ??= requestAnimationFrame(() => this.flush());
  }

  /** Puts what has arrived into the ring. */
  private flush() {
    if (this.frame !== undefined) cancelAnimationFrame(this.frame);
    this.frame = undefined;
    let { older, arrived } = this.state;
    for (const entry of this.pending) {
      if (!isGap(entry)) arrived++;
      if (this.holding && (this.skipped || this.ring.room === 0)) this.skipped = true;
      else {
        // What a reset leaves out was newer than all before it: there is nothing older to load.
        if (isGap(entry) && entry.gap === "reset") older = "none";
        if (this.ring.push(entry)) older = "more";
      }
    }
    this.pending = [];
    this.set({ arrived, older });
  }

  /** Loads the page before the oldest line. */
  async loadOlder() {
    if (this.state.older !== "more" && this.state.older !== "failed") return;
    const oldest = this.ring.at(0);
    const before = oldest ? (isGap(oldest) ? oldest.before : oldest.cursor) : this.edge;
    if (!before) return this.set({ older: "none" });
    if (this.ring.room === 0) return this.set({ older: "full" });
    const generation = this.generation;
    this.set({ older: "loading" });
    try {
      const page = await this.source.page({ ...this.state.filter, first: pageSize, before });
      if (generation !== this.generation) return;
      if (this.ring.at(0) !== oldest) return this.set({ older: "more" }); // it was dropped meanwhile
      const added = this.ring.prepend(page.nodes);
      this.runs.see(page.nodes);
      const more = page.pageInfo.hasPreviousPage || added < page.nodes.length;
      this.set({ older: more ? "more" : "none" });
    } catch {
      if (generation === this.generation) this.set({ older: "failed" });
    }
  }

  /** Loads the lines that are missing at a gap. What is older than them is loaded again, on request. */
  async fill(gap: Gap) {
    let index = 0;
    while (index < this.ring.size && this.ring.at(index) !== gap) index++;
    if (index === this.ring.size) return;
    this.ring.drop(index + 1);
    this.edge = gap.before;
    this.set({ older: "more" });
    await this.loadOlder();
  }

  private set(change: Partial<FeedState>) {
    this.state = { ...this.state, ...change, runs: this.runs.list };
    this.changed.emit();
  }
}
