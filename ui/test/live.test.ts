import { describe, expect, it, vi } from "vitest";
import type { ChangeSet } from "../src/graphql/documents";
import { Assembler } from "../src/graphql/feed";
import { Live } from "../src/graphql/live";
import { select, Tally, View } from "../src/model/view";
import { node, service } from "./service";

const names = (live: Live) => [...live.services().values()].map((s) => s.name).sort();

function message(more: Partial<ChangeSet>): ChangeSet {
  return {
    kind: "BATCH",
    complete: true,
    cursor: null,
    services: [],
    nodes: [],
    deletedServices: [],
    deletedNodes: [],
    ...more,
  };
}

describe("Live", () => {
  it("tells only those whose row changed", () => {
    const live = new Live();
    live.apply({ services: [service("a"), service("b")] });
    const [a, b] = [vi.fn(), vi.fn()];
    live.subscribeRow("s-a", a);
    const end = live.subscribeRow("s-b", b);
    live.apply({ services: [service("a", { restarts: 1 }), service("b")] });
    expect(a).toHaveBeenCalledTimes(1);
    expect(b).not.toHaveBeenCalled();
    end();
    live.apply({ goneServices: ["s-b"] });
    expect(b).not.toHaveBeenCalled();
    expect(live.service("s-b")).toBeUndefined();
  });

  it("keeps a row's identity while nothing in it changes", () => {
    const live = new Live();
    live.apply({ services: [service("a")] });
    const before = live.service("s-a");
    live.apply({ services: [service("a")] });
    expect(live.service("s-a")).toBe(before);
  });

  it("knows nothing until the first state, which may be empty", () => {
    const live = new Live();
    const told = vi.fn();
    live.subscribe(told);
    expect(live.loaded()).toBe(false);
    live.apply({ reset: true, services: [], nodes: [] });
    expect(live.loaded()).toBe(true);
    expect(told).toHaveBeenCalledTimes(1);
  });

  it("drops with a reset what is not in it, nodes too", () => {
    const live = new Live();
    live.apply({ services: [service("a"), service("b")], nodes: [node("x"), node("y")] });
    live.apply({ reset: true, services: [service("b")], nodes: [node("y")] });
    expect(names(live)).toEqual(["b"]);
    expect(live.nodes().map((n) => n.name)).toEqual(["y"]);
  });
});

describe("Assembler", () => {
  it("applies a snapshot only when it is whole", () => {
    const live = new Live();
    live.apply({ services: [service("old")] });
    const feed = new Assembler(live);
    feed.take(message({ kind: "SNAPSHOT", complete: false, services: [service("a")] }));
    expect(names(live)).toEqual(["old"]);
    expect(feed.cursor).toBeUndefined();
    feed.take(message({ kind: "SNAPSHOT", services: [service("b")], cursor: "c1" }));
    expect(names(live)).toEqual(["a", "b"]);
    expect(feed.cursor).toBe("c1");
  });

  it("forgets half a snapshot when the connection is lost", () => {
    const live = new Live();
    const feed = new Assembler(live);
    feed.take(message({ kind: "SNAPSHOT", complete: false, services: [service("gone")] }));
    feed.begin();
    feed.take(message({ kind: "SNAPSHOT", services: [service("a")], cursor: "c1" }));
    expect(names(live)).toEqual(["a"]);
  });

  it("applies each part of a batch, and goes on only from a whole one", () => {
    const live = new Live();
    const feed = new Assembler(live);
    feed.take(message({ kind: "SNAPSHOT", services: [service("a"), service("b")], cursor: "c1" }));
    feed.take(message({ complete: false, services: [service("c")] }));
    expect(names(live)).toEqual(["a", "b", "c"]);
    expect(feed.cursor).toBe("c1");
    feed.take(message({ deletedServices: ["s-a", "never-known"], cursor: "c2" }));
    expect(names(live)).toEqual(["b", "c"]);
    expect(feed.cursor).toBe("c2");
  });
});

describe("View", () => {
  const byName = { sort: "name", descending: false } as const;

  it("filters by each condition and sorts, equals by name", () => {
    const all = [
      service("b", { kind: "QUEUE", restarts: 2 }),
      service("c", { restarts: 2, health: "UNHEALTHY" }),
      service("a", { restarts: 5, node: { id: "n2", name: "far" } }),
    ];
    expect(select(all, byName)).toEqual(["s-a", "s-b", "s-c"]);
    expect(select(all, { ...byName, descending: true })).toEqual(["s-c", "s-b", "s-a"]);
    expect(select(all, { sort: "restarts", descending: true })).toEqual(["s-a", "s-b", "s-c"]);
    expect(select(all, { sort: "status", descending: false })).toEqual(["s-c", "s-a", "s-b"]);
    expect(select(all, { ...byName, kind: "QUEUE" })).toEqual(["s-b"]);
    expect(select(all, { ...byName, group: "unhealthy" })).toEqual(["s-c"]);
    expect(select(all, { ...byName, nodeId: "n2" })).toEqual(["s-a"]);
    expect(select(all, { ...byName, text: "FAR a" })).toEqual(["s-a"]);
    expect(select(all, { ...byName, text: "nothing" })).toEqual([]);
  });

  it("stays the same array while changes move no row, and is told when one does", () => {
    const live = new Live();
    live.apply({ services: [service("a"), service("b")] });
    const view = new View(live, { ...byName, group: "healthy" });
    const told = vi.fn();
    view.subscribe(told);
    const before = view.get();
    live.apply({ services: [service("a", { restarts: 1, health: "HEALTHY" })] });
    expect(view.get()).toBe(before);
    expect(told).not.toHaveBeenCalled();
    live.apply({ services: [service("a", { health: "UNHEALTHY" })] });
    expect(told).toHaveBeenCalledTimes(1);
    expect(view.get()).toEqual(["s-b"]);
    live.apply({ services: [service("0")] });
    expect(view.get()).toEqual(["s-0", "s-b"]);
    live.apply({ goneServices: ["s-b"] });
    expect(view.get()).toEqual(["s-0"]);
  });
});

describe("Tally", () => {
  it("counts by group, kind and node, as rows come, change and go", () => {
    const live = new Live();
    const tally = new Tally(live);
    live.apply({ services: [service("a"), service("b", { kind: "QUEUE", health: "UNHEALTHY" })] });
    expect(tally.get()).toMatchObject({ total: 2, healthy: 1, unhealthy: 1 });
    expect(tally.get("QUEUE")).toMatchObject({ total: 1, healthy: 0, unhealthy: 1 });
    expect(tally.onNode("n1")).toBe(2);
    live.apply({ services: [service("b", { kind: "QUEUE", node: { id: "n2", name: "far" } })] });
    expect(tally.get()).toMatchObject({ total: 2, healthy: 2, unhealthy: 0 });
    expect([tally.onNode("n1"), tally.onNode("n2")]).toEqual([1, 1]);
    live.apply({ reset: true, services: [], nodes: [] });
    expect(tally.get()).toMatchObject({ total: 0, healthy: 0 });
    expect(tally.get("DB").total).toBe(0);
  });
});
