import { describe, expect, it } from "vitest";
import { fold } from "../src/features/activity/events";
import { activitySearch } from "../src/features/activity/search";
import { exitWords, headline, isRestart } from "../src/features/activity/words";
import { suggestName } from "../src/features/services/names";
import { detailSearch, listSearch } from "../src/features/services/search";
import { snippetsOf } from "../src/features/services/snippets";
import { stepOf } from "../src/features/services/steps";
import { buckets, history } from "../src/features/services/timeline";
import { asApiError } from "../src/graphql/client";
import type { LaunchStep } from "../src/graphql/documents";
import { delayFor } from "../src/graphql/socket";
import { ApiError, wordsOf } from "../src/lib/errors";
import { bytes, plural, sentence } from "../src/lib/format";
import { labelChange, labelsIn, labelText } from "../src/lib/labels";
import { parseSearch, stringifySearch } from "../src/lib/search";
import { ago, span, until } from "../src/lib/time";
import { nameProblem, numberProblem } from "../src/lib/validate";
import { statusOf } from "../src/model/status";
import { event, service } from "./service";

describe("statusOf", () => {
  it.each([
    [{ phase: "PENDING", health: "UNKNOWN" }, "progress", "Pending"],
    [{ phase: "STARTING", health: "STARTING" }, "progress", "Starting"],
    [{ phase: "STARTING", health: "SUSPECT" }, "suspect", "Suspect"],
    [{ phase: "RUNNING", health: "HEALTHY" }, "healthy", "Healthy"],
    [{ phase: "RUNNING", health: "SUSPECT" }, "suspect", "Suspect"],
    [{ phase: "RUNNING", health: "UNHEALTHY" }, "unhealthy", "Unhealthy"],
    [{ phase: "RUNNING", health: "UNKNOWN" }, "unknown", "Unknown"],
    [{ phase: "RUNNING", health: "UNKNOWN", lastHealthCheckAt: null }, "unknown", "No check yet"],
    [{ phase: "RESTARTING", health: "UNHEALTHY" }, "unhealthy", "Restarting"],
    [{ phase: "CRASH_LOOP", health: "UNHEALTHY" }, "unhealthy", "Crash loop"],
    [{ phase: "FAILED", health: "UNKNOWN" }, "unhealthy", "Failed"],
    [{ phase: "STOPPING", health: "UNKNOWN" }, "progress", "Stopping"],
    [{ phase: "STOPPED", health: "UNKNOWN" }, "stopped", "Stopped"],
    [{ phase: "REMOVING", health: "UNKNOWN" }, "progress", "Removing"],
  ] as const)("%j is %s, %s", (state, group, word) => {
    expect(statusOf(state)).toEqual({ group, word });
  });

  it("knows the step of a launch", () => {
    const at = (stepCode: LaunchStep) => ({ stepCode, step: "words", percent: null });
    expect(stepOf(service("a", { phase: "PENDING", progress: at("PLACING") }))).toBe(0);
    expect(stepOf(service("a", { phase: "PENDING", progress: at("FETCHING") }))).toBe(1);
    expect(stepOf(service("a", { phase: "STARTING", progress: at("STARTING") }))).toBe(2);
    expect(stepOf(service("a", { phase: "STARTING", progress: at("PROBING") }))).toBe(3);
    expect(stepOf(service("a"))).toBe(4);
    expect(stepOf(service("a", { phase: "STOPPED" }))).toBe(-1);
  });
});

describe("words", () => {
  it("tells how an engine ended", () => {
    expect(exitWords(137)).toBe("Killed by signal 9 (SIGKILL, it was killed)");
    expect(exitWords(137, true)).toBe("Killed: out of memory");
    expect(exitWords(0)).toMatch(/without an error/);
    expect(exitWords(3)).toBe("Exited with code 3");
    expect(exitWords(null)).toBe("");
  });

  it("names events, and counts restarts apart from other moves", () => {
    expect(headline(event("1", { previousPhase: null, phase: "PENDING" }))).toBe("Launched");
    expect(headline(event("1", { phase: null }))).toBe("Removed");
    expect(headline(event("1", { previousPhase: "RESTARTING", phase: "STARTING" }))).toBe("Restarted");
    expect(headline(event("1", { subject: "NODE", healthy: false }))).toBe("Node unreachable");
    expect(headline(event("1", { subject: "NODE", reasonCode: "NODE_READY" }))).toBe("Node ready");
    expect(headline(event("1", { subject: "NODE", reasonCode: "NODE_BACK" }))).toBe("Node is back");
    expect(headline(event("1", { subject: "NODE", reasonCode: "NODE_DRAINING" }))).toBe("Node draining");
    expect(isRestart(event("1", { previousPhase: "PENDING", phase: "STARTING" }))).toBe(false);
    expect(isRestart(event("1", { previousPhase: "CRASH_LOOP", phase: "STARTING" }))).toBe(true);
  });

  it("writes amounts and reasons as people do", () => {
    expect([bytes(512), bytes(1536), bytes(24 * 1024 ** 3)]).toEqual(["512 B", "1.5 KiB", "24.0 GiB"]);
    expect([plural(1, "service"), plural(5000, "service")]).toEqual(["1 service", "5,000 services"]);
    expect(sentence("logged in")).toBe("Logged in");
    const refused = {
      message: "input.name: must be shorter",
      extensions: { code: "INVALID_INPUT", field: "input.name", text: "must be shorter" },
    };
    expect(asApiError({ graphQLErrors: [refused] } as never)).toMatchObject({
      message: "Must be shorter",
      field: "input.name",
    });
    expect(wordsOf(new ApiError("No", "CONFLICT", "name"))).toBe("No");
  });

  it("tells times", () => {
    const now = 1_000_000_000;
    expect(ago(now - 2_000, now)).toBe("just now");
    expect(ago(now - 61_000, now)).toBe("1 min ago");
    expect(span(47 * 3_600_000)).toBe("47 h");
    expect(span(72 * 3_600_000)).toBe("3 d");
    expect(until(now + 12_400, now)).toBe("in 12 s");
    expect(until(now - 5, now)).toBe("now");
  });
});

describe("timeline", () => {
  const at = (minute: number) => new Date(Date.UTC(2026, 0, 1, 12, minute)).toISOString();
  const ms = (minute: number) => Date.UTC(2026, 0, 1, 12, minute);
  const past = [
    event("4", { at: at(40), previousPhase: "STARTING", phase: "RUNNING", health: "HEALTHY" }),
    event("3", { at: at(39), previousPhase: "RESTARTING", phase: "STARTING", health: "STARTING" }),
    event("2", { at: at(30), previousPhase: "RUNNING", phase: "RESTARTING", health: "UNHEALTHY" }),
    event("1", { at: at(10), previousPhase: "STARTING", phase: "RUNNING", health: "HEALTHY" }),
    event("0", { at: at(9), previousPhase: null, phase: "PENDING", health: "UNKNOWN" }),
  ];

  it("merges what is equal, counts restarts and the share of health", () => {
    const { regions, restarts, healthy } = history(past, ms(0), ms(60));
    expect(regions.map((r) => [r.group, (r.to - r.from) / 60_000])).toEqual([
      ["progress", 1],
      ["healthy", 20],
      ["unhealthy", 9],
      ["progress", 1],
      ["healthy", 20],
    ]);
    expect(restarts).toBe(1);
    expect(healthy).toBeCloseTo(40 / 49);
  });

  it("begins within a stretch when it is older than the range", () => {
    const { regions, restarts } = history(past, ms(20), ms(60));
    expect(regions[0]).toEqual({ from: ms(20), to: ms(30), group: "healthy" });
    expect(restarts).toBe(1);
    expect(history(past, ms(45), ms(60)).restarts).toBe(0);
  });

  it("shows the worst of each bucket, and nothing where nothing is known", () => {
    const { regions } = history(past, ms(0), ms(60));
    const all = buckets(regions, ms(0), ms(60), 6);
    expect(all).toEqual(["progress", "healthy", "healthy", "unhealthy", "healthy", "healthy"]);
    expect(buckets(regions, ms(0), ms(60), 60)[3]).toBeNull();
  });
});

describe("folding", () => {
  it("puts the services of a node that went away under the node's event", () => {
    const cause = event("n", { subject: "NODE", serviceId: null, healthy: false });
    const folds = fold([event("2", { causeId: "n" }), event("1", { causeId: "n" }), cause, event("0")]);
    expect(folds.map((f) => [f.event.id, f.followers.map((e) => e.id)])).toEqual([
      ["n", ["2", "1"]],
      ["0", []],
    ]);
  });

  it("leaves alone what follows from an event that is not in the list", () => {
    expect(fold([event("1", { causeId: "elsewhere" })])).toHaveLength(1);
  });
});

describe("addresses", () => {
  it("drop what they do not know, and stay readable", () => {
    expect(listSearch({ q: "a b", status: "healthy", sort: "nonsense", evil: "1" })).toEqual({
      q: "a b",
      status: "healthy",
    });
    expect(detailSearch({ tab: "connect", range: "9h" })).toEqual({ tab: "connect" });
    expect(activitySearch({ kind: "DB", node: "" })).toEqual({ kind: "DB" });
    expect(stringifySearch({ q: "a b", status: undefined })).toBe("?q=a+b");
    expect(parseSearch("?q=12&status=healthy")).toEqual({ q: "12", status: "healthy" });
  });
});

describe("forms", () => {
  it.each([
    ["orders-2", ""],
    ["", "Enter a name."],
    ["Orders", "Use lowercase letters."],
    ["a_b", "Use only lowercase letters, digits and dashes."],
    ["2a", "Start with a letter."],
    ["a-", "End with a letter or a digit."],
    ["a".repeat(64), "Use at most 63 characters. The name has 64."],
  ])("name %j: %s", (name, problem) => {
    expect(nameProblem(name)).toBe(problem);
  });

  it("checks numbers that may be left out", () => {
    expect(numberProblem("", 1, 5)).toBe("");
    expect(numberProblem("2.5", 1, 5)).toBe("");
    expect(numberProblem("2.5", 1, 5, true)).toBe("Enter a whole number.");
    expect(numberProblem("6", 1, 5)).toBe("Use 1 to 5.");
    expect(numberProblem("x", 1, 5)).toBe("Enter a number.");
  });

  it("suggests names that are free and valid", () => {
    expect(
      suggestName(
        "DB",
        () => false,
        () => 0,
      ),
    ).toBe("amber-db");
    expect(
      suggestName(
        "DB",
        (n) => n === "amber-db",
        () => 0,
      ),
    ).toBe("brisk-db");
    const name = suggestName(
      "QUEUE",
      (n) => !/-2$/.test(n),
      () => 0.5,
    );
    expect(name).toMatch(/-queue-2$/);
    expect(nameProblem(name)).toBe("");
  });
});

describe("snippets", () => {
  const credentials = {
    endpoint: null,
    values: ["user", "password", "database", "accessKey", "secretKey", "token"].map((name) => ({
      name,
      value: `the-${name}`,
    })),
    connections: [{ name: "url", value: "x://the-user:the-password@127.0.0.1:1234" }],
  };
  it.each([
    ["DB", "postgres", "postgres://127.0.0.1:1234/postgres", "the-password"],
    ["BUCKET", "versitygw", "http://127.0.0.1:1234", "the-secretKey"],
    ["QUEUE", "nats", "nats://127.0.0.1:1234", "the-password"],
    ["NOSQL", "ferretdb", "mongodb://127.0.0.1:1234/", "the-password"],
    ["NOSQL", "redis", "redis://127.0.0.1:1234/0", "the-password"],
    ["SECRETS", "setec", "http://127.0.0.1:1234", "the-token"],
  ] as const)("of %s by %s have address and secret in each language", (kind, template, endpoint, secret) => {
    const [connection, ...all] = snippetsOf(
      { kind, template: { name: template, version: "1" }, endpoint },
      credentials,
    );
    expect(connection).toEqual({ language: "url", needs: "", code: credentials.connections[0]?.value });
    expect(all.map((s) => s.language)).toEqual(["Python", "Node", "Go"]);
    for (const { code } of all) {
      expect(code).toContain("127.0.0.1");
      expect(code).toContain("1234");
      expect(code).toContain(secret);
      expect(code).not.toContain("undefined");
    }
  });

  it("hold no secret before it is revealed", () => {
    const [first] = snippetsOf({
      kind: "DB",
      template: { name: "postgres", version: "1" },
      endpoint: "postgres://127.0.0.1:1234/postgres",
    });
    expect(first?.code).toContain("<password>");
  });
});

describe("reconnecting", () => {
  it("waits longer each time, with jitter, and never more than ten seconds", () => {
    expect(delayFor(0, () => 0)).toBe(150);
    expect(delayFor(0, () => 1)).toBe(300);
    expect(delayFor(3, () => 1)).toBe(2_400);
    expect(delayFor(50, () => 1)).toBe(10_000);
  });
});

describe("labels", () => {
  it("are text, one on a line", () => {
    const labels = [
      { name: "team", value: "shop" },
      { name: "bare", value: "" },
    ];
    expect(labelText(labels)).toBe("team=shop\nbare");
    expect(labelsIn(" team = shop \n\nbare\n")).toEqual(labels);
    expect(labelsIn("a=b=c")).toEqual([{ name: "a", value: "b=c" }]);
  });

  it("are changed by what differs", () => {
    const before = labelsIn("team=shop\ntier=1\nbare");
    expect(labelChange(before, labelsIn("team=search\nbare\nnew"))).toEqual({
      set: labelsIn("team=search\nnew"),
      remove: ["tier"],
    });
    expect(labelChange(before, before)).toEqual({ set: [], remove: [] });
  });
});
