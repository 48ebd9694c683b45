import { describe, expect, it } from "vitest";
import { nextTime, parseCron, presets, scheduleWords } from "../src/features/backups/cron";
import type { Backup, Policy, Target } from "../src/features/backups/documents";
import { nextOf, policyInput, policyProblems, valuesOf } from "../src/features/backups/policy";
import {
  backupBefore,
  momentProblem,
  restoredName,
  restoreNameProblem,
  windowOf,
} from "../src/features/backups/restore";
import { emptyTarget, targetInput, targetProblems } from "../src/features/backups/target";
import { nearest, spotsOf } from "../src/features/backups/timeline";
import {
  adviceFor,
  amountWords,
  isRefuted,
  keepWords,
  percentOf,
  placeOf,
  planWords,
  progressWords,
  proofWords,
  proveWords,
  scopeWords,
  sizeWords,
  timelineWords,
} from "../src/features/backups/words";
import type { BackupStatesPage } from "../src/graphql/documents";
import { collect } from "../src/model/backups";

const backup = (id: string, more: Partial<Backup> = {}): Backup => ({
  id,
  serviceId: "s1",
  serviceName: "shop",
  kind: "DB",
  template: { name: "postgres", version: "18.4" },
  nodeId: "n1",
  targetId: "t1",
  policyId: null,
  trigger: "SCHEDULE",
  state: "COMPLETE",
  reason: "backup complete",
  pinned: false,
  createdAt: "2026-11-27T03:00:00Z",
  startedAt: "2026-11-27T03:00:01Z",
  finishedAt: "2026-11-27T03:00:05.2Z",
  pausedSeconds: 0,
  bytes: 59 * 1024 * 1024,
  storedBytes: 1024 * 1024,
  files: 976,
  provenAt: null,
  proof: null,
  ...more,
});

const policy: Policy = {
  id: "p1",
  serviceId: "s1",
  kinds: [],
  labels: [],
  targetId: "t1",
  schedule: "0 3 * * *",
  timeZone: "Europe/Berlin",
  keep: { last: 3, daily: 7, weekly: 0, monthly: 6 },
  pointInTime: true,
  proveEvery: 90_000,
  proveNodeId: "n2",
  finalBackup: false,
  paused: true,
  serviceCount: 1,
};

describe("a schedule", () => {
  const next = (expression: string, zone: string, after: string) => {
    const at = nextTime(expression, zone, Date.parse(after));
    return at === undefined ? undefined : new Date(at).toISOString();
  };

  it.each([
    ["0 3 * * *", "UTC", "2026-11-27T21:00:00Z", "2026-11-28T03:00:00.000Z"],
    ["0 3 * * *", "UTC", "2026-11-27T03:00:00Z", "2026-11-28T03:00:00.000Z"],
    ["0 3 * * *", "Europe/Berlin", "2026-11-27T01:00:00Z", "2026-11-27T02:00:00.000Z"],
    ["*/20 * * * *", "UTC", "2026-11-27T21:41:00Z", "2026-11-27T22:00:00.000Z"],
    ["5/20 8-10 * * *", "UTC", "2026-11-27T09:26:00Z", "2026-11-27T09:45:00.000Z"],
    ["0 3 * * 1", "UTC", "2026-11-27T21:00:00Z", "2026-11-30T03:00:00.000Z"],
    ["0 3 * * sun", "UTC", "2026-11-27T21:00:00Z", "2026-11-29T03:00:00.000Z"],
    ["0 3 * * 7", "UTC", "2026-11-27T21:00:00Z", "2026-11-29T03:00:00.000Z"],
    ["0 0 29 2 *", "UTC", "2026-11-27T21:00:00Z", "2028-02-29T00:00:00.000Z"],
    // A date and a weekday: either.
    ["0 3 13 * 5", "UTC", "2026-11-28T00:00:00Z", "2026-12-04T03:00:00.000Z"],
    // Clocks are put forward at 2:00: what is skipped comes an hour later.
    ["30 2 * * *", "Europe/Berlin", "2027-03-27T12:00:00Z", "2027-03-28T01:30:00.000Z"],
    // And back at 3:00: 2:30 comes once, at the first of the two.
    ["30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", "2026-10-25T00:30:00.000Z"],
    ["30 2 * * *", "Europe/Berlin", "2026-10-25T00:31:00Z", "2026-10-26T01:30:00.000Z"],
  ])("%s in %s comes next after %s at %s", (expression, zone, after, at) => {
    expect(next(expression, zone, after)).toBe(at);
  });

  it("never comes on a day that there is not", () => {
    expect(next("0 0 31 2 *", "UTC", "2026-11-27T21:00:00Z")).toBeUndefined();
  });

  it.each(["", "* * * *", "60 * * * *", "0 24 * * *", "0 3 L * *", "0 3 * * mo", "0 3 5-1 * *", "*/0 * * * *"])(
    "%j is left to the server",
    (expression) => expect(parseCron(expression)).toBeUndefined(),
  );

  it("has words where it is simple", () => {
    expect(presets.map((p) => scheduleWords(p.schedule))).toEqual([
      "every hour",
      "every 6 hours",
      "every day at 03:00",
      "every Sunday at 03:00",
      "on day 1 of each month at 03:00",
    ]);
    expect(scheduleWords("5 3 * * 1")).toBe("every Monday at 03:05");
    expect(scheduleWords("5 3 1 * 1")).toBe("5 3 1 * 1");
    expect(scheduleWords("*/20 * * * *")).toBe("*/20 * * * *");
  });
});

describe("the timeline", () => {
  const now = Date.parse("2026-11-27T13:00:00Z");
  const at = (hour: number, more: Partial<Backup> = {}) =>
    backup(`b${hour}`, { startedAt: `2026-11-27T${String(hour).padStart(2, "0")}:00:00Z`, ...more });

  it("ends now, and begins with the oldest", () => {
    const { spots } = spotsOf([at(8), at(3)], now);
    expect(spots.map((s) => [s.backup.id, s.at])).toEqual([
      ["b3", 0],
      ["b8", 0.5],
    ]);
  });

  it("leaves out what was cancelled or goes, and keeps what failed", () => {
    const all = [at(8, { state: "CANCELLED" }), at(7, { state: "DELETING" }), at(6, { state: "FAILED" }), at(3)];
    expect(spotsOf(all, now).spots.map((s) => s.backup.id)).toEqual(["b3", "b6"]);
  });

  it("finds the nearest, of two at one place the newer", () => {
    const { spots } = spotsOf([at(8), at(3), backup("same", { startedAt: "2026-11-27T08:00:00Z" })], now);
    expect([0, 0.24, 0.26, 1].map((x) => spots[nearest(spots, x)]?.backup.id)).toEqual(["b3", "b3", "same", "same"]);
    expect(nearest([], 0.5)).toBe(-1);
  });

  it("tells size, duration, pause and marks", () => {
    const text = timelineWords(backup("b", { pausedSeconds: 0.25, pinned: true, provenAt: "2026-11-27T04:00:00Z" }));
    expect(text).toContain("59.0 MiB, 1.0 MiB new, took 4.2 s, paused for 0.3 s, pinned and proven, scheduled");
    expect(sizeWords(backup("b"))).toBe("59.0 MiB, 1.0 MiB new, took 4.2 s, no pause");
    expect(timelineWords(backup("b", { state: "FAILED", trigger: "REQUEST" }))).toMatch(/, failed, requested$/);
  });
});

describe("what is told", () => {
  it("is what to do about a state, by role", () => {
    const may = { backUp: true, manage: true };
    expect(adviceFor("OK", true, may)).toBe("");
    expect(adviceFor("NONE", false, may)).toContain("Create a target first");
    expect(adviceFor("NONE", false, { backUp: true, manage: false })).toContain("ADMIN");
    expect(adviceFor("NONE", true, may)).toContain("Set one up");
    expect(adviceFor("LATE", true, may)).toContain("Back the service up now");
    expect(adviceFor("FAILING", true, { backUp: false, manage: false })).toContain("OPERATOR");
  });

  it("is how far a backup is", () => {
    const p = { bytes: 0, totalBytes: null, bytesPerSecond: 0, remainingSeconds: null };
    expect(progressWords(p)).toBe("");
    expect(percentOf(p)).toBeUndefined();
    const half = { bytes: 1024, totalBytes: 2048, bytesPerSecond: 512, remainingSeconds: 1.2 };
    expect(progressWords(half)).toBe("1.0 KiB of 2.0 KiB, 512 B/s, 2 s left");
    expect(percentOf(half)).toBe(50);
    expect(percentOf({ bytes: 30, totalBytes: 20 })).toBe(100);
  });

  it("is the plan of a restore", () => {
    const plan = planWords({
      name: "copy",
      backup: backup("b"),
      at: Date.UTC(2026, 4, 6),
      node: "big",
      rotate: true,
      quarantine: true,
    });
    expect(plan[0]).toMatch(/^A new service copy will be made on node big with 59\.0 MiB of data as of .*2026/);
    expect(plan.slice(1)).toEqual([
      "shop is not touched.",
      "It gets new credentials once it works.",
      "It acts on others once you end its quarantine.",
    ]);
    expect(
      planWords({ name: "", backup: backup("b"), at: 0, node: undefined, rotate: false, quarantine: false })[0],
    ).toContain("A new service … will be made on a node that has room");
  });

  it("has nothing about quarantine for engines that do nothing by themselves", () => {
    const of = (kind: Backup["kind"], quarantine: boolean) =>
      planWords({ name: "copy", backup: { ...backup("b"), kind }, at: 0, node: "big", rotate: true, quarantine }).slice(
        3,
      );
    expect(of("BUCKET", true)).toEqual([]);
    expect(of("QUEUE", false)).toEqual(["It acts on others at once."]);
  });

  it("is for a moment between backups where the log is kept", () => {
    const backups = ["2026-05-06T03:00:00Z", "2026-05-05T03:00:00Z"].map((finishedAt) =>
      backup(finishedAt, { finishedAt }),
    );
    const at = (text: string) => backupBefore(backups, Date.parse(text))?.id;
    expect(at("2026-05-06T02:59:59Z")).toBe("2026-05-05T03:00:00Z");
    expect(at("2026-05-06T03:00:00Z")).toBe("2026-05-06T03:00:00Z");
    expect(at("2026-05-05T02:59:59Z")).toBeUndefined();
    const window = { from: Date.parse("2026-05-05T02:58:00Z"), to: Date.parse("2026-05-06T09:00:00Z") };
    expect(momentProblem("", backups, window)).toBe("");
    expect(momentProblem("2026-05-06T08:00:00Z", backups, window)).toBe("");
    expect(momentProblem("2026-05-06T09:00:01Z", backups, window)).toContain("The newest moment is");
    expect(momentProblem("2026-05-05T02:59:00Z", backups, window)).toContain(
      "The earliest moment is the end of a backup",
    );
    expect(momentProblem("yesterday", backups, window)).toBe("Enter a date and a time.");
    const status = { restorableFrom: "2026-05-05T02:58:00Z", restorableTo: "2026-05-06T09:00:00Z" };
    expect(windowOf({ ...status, pointInTime: true })).toEqual(window);
    expect(windowOf({ ...status, pointInTime: false })).toBeUndefined();
    expect(windowOf(null)).toBeUndefined();
  });

  it("is what a proof found", () => {
    const proof = { at: "", proven: false, reason: "", noRoom: false, durationSeconds: 4.21, failures: [] };
    const compared = [
      { what: "bytes read", count: 2_048 },
      { what: "tables read", count: 1_204 },
    ];
    expect(proofWords({ ...proof, compared })).toBe("2.0 KiB read, 1,204 tables read, in 4.2 s");
    const refuted = backup("b", { proof: { ...proof, compared } });
    expect(timelineWords(refuted)).toContain(", proof failed, ");
    expect(isRefuted(refuted)).toBe(true);
    expect(isRefuted(backup("b", { proof: { ...proof, compared, noRoom: true } }))).toBe(false);
    expect(isRefuted(backup("b", { proof: { ...proof, compared, proven: true } }))).toBe(false);
  });

  it("is a policy", () => {
    expect(keepWords(policy.keep)).toBe("the last 3, 7 daily, 6 monthly");
    expect(keepWords({ last: 1, daily: 0, weekly: 0, monthly: 0 })).toBe("the last one");
    expect([0, 3_600, 9_000, 86_400, 2 * 86_400, 7 * 86_400, 14 * 86_400].map(proveWords)).toEqual([
      "never",
      "every hour",
      "every 2.5 hours",
      "every day",
      "every 2 days",
      "every week",
      "every 2 weeks",
    ]);
    expect(scopeWords({ kinds: [], labels: [] }, String)).toBe("all kinds");
    expect(scopeWords({ kinds: ["DB"], labels: [{ name: "tier", value: "1" }] }, String)).toBe("DB with tier=1");
  });

  it("is where a target is", () => {
    const place = (t: Partial<Target>) =>
      placeOf(
        { folder: null, serviceId: null, bucket: null, prefix: null, endpoint: null, ...t } as Target,
        (id) => ({ s1: "photos" })[id],
      );
    expect(place({ folder: "/mnt/disk" })).toBe("Folder /mnt/disk");
    expect(place({ serviceId: "s1", bucket: "b", prefix: "p" })).toBe("Bucket b/p of photos");
    expect(place({ serviceId: "s2", bucket: "b" })).toBe("Bucket b of a service that is gone");
    expect(place({ bucket: "b", endpoint: "https://s3" })).toBe("Bucket b at https://s3");
  });

  it("is what a backup has in it", () => {
    const amount = (name: string, value: number, estimate = false) => amountWords({ name, value, estimate });
    expect(amount("rows", 1_204, true)).toBe("about 1,204 rows");
    expect(amount("tables", 1)).toBe("1 table");
    expect(amount("bytes", 1536)).toBe("1.5 KiB");
    expect(amount("large_objects", 2)).toBe("2 large objects");
    expect(amount("first_sequence", 7)).toBe("first sequence 7");
  });
});

describe("the form of a policy", () => {
  it("begins with what the server would take, and the target and zone that are given", () => {
    const values = valuesOf(undefined, "t1", "Europe/Berlin");
    expect(policyProblems(values)).not.toContainEqual(expect.stringMatching(/./));
    expect(policyInput(values, "s1")).toMatchObject({
      ...{ serviceId: "s1", targetId: "t1", schedule: "0 3 * * *", timeZone: "Europe/Berlin", proveEvery: 604_800 },
      ...{ keep: { last: 3, daily: 7, weekly: 4, monthly: 6 }, finalBackup: true, paused: false, pointInTime: false },
    });
  });

  it("gives back a policy as it was, with what it does not show", () => {
    const { id: _, serviceCount: __, ...rest } = policy;
    expect(policyInput(valuesOf(policy, "t9", "UTC"), "s1", policy)).toEqual(rest);
  });

  it("says what is wrong, by field", () => {
    const bad = {
      ...valuesOf(policy, "", "UTC"),
      ...{ targetId: "", schedule: "daily", timeZone: "Mars/Olympus" },
      keep: { last: "0", daily: "", weekly: "x", monthly: "1001" },
    };
    const problems = Object.entries(policyProblems(bad)).filter(([, text]) => text);
    expect(problems.map(([field]) => field)).toEqual([
      ...["targetId", "schedule", "timeZone", "keep.daily", "keep.weekly", "keep.monthly"],
    ]);
    const none = { ...valuesOf(policy, "", "UTC"), keep: { last: "0", daily: "0", weekly: "0", monthly: "0" } };
    expect(policyProblems(none).keep).toBe("At least one backup must be kept.");
  });

  it("leaves kinds and labels to defaults", () => {
    const values = { ...valuesOf(undefined, "t1", "UTC"), kinds: ["DB" as const], labels: "tier=1\n" };
    expect(policyInput(values, "s1")).toMatchObject({ kinds: [], labels: [] });
    expect(policyInput(values, undefined)).toMatchObject({
      ...{ serviceId: null, kinds: ["DB"], labels: [{ name: "tier", value: "1" }] },
    });
  });

  it("knows the next time, or that only the server does", () => {
    const now = Date.parse("2026-11-27T21:00:00Z");
    expect(nextOf({ schedule: "0 3 * * *", timeZone: "UTC" }, now)).toBe(Date.parse("2026-11-28T03:00:00Z"));
    expect(nextOf({ schedule: "0 3 L * *", timeZone: "UTC" }, now)).toBeUndefined();
  });
});

describe("the form of a target", () => {
  const fields = (v: Partial<typeof emptyTarget>) =>
    Object.entries(targetProblems({ ...emptyTarget, name: "disk", ...v }))
      .filter(([, text]) => text)
      .map(([field]) => field);

  it("says what is missing, by place", () => {
    expect(fields({ name: "", folder: "x", writeMiBPerSecond: "0" })).toEqual(["name", "writeMiBPerSecond", "folder"]);
    expect(fields({ place: "service" })).toEqual(["s3.serviceId", "s3.bucket"]);
    expect(fields({ place: "s3", endpoint: "s3.example.com" })).toEqual([
      ...["s3.endpoint", "s3.bucket", "s3.accessKey", "s3.secretKey"],
    ]);
  });

  it("sends nothing that belongs to another place", () => {
    const all = { ...emptyTarget, name: "disk", folder: "/mnt", serviceId: "s1", endpoint: "https://s3", bucket: "b" };
    expect(targetInput(all)).toEqual({ name: "disk", folder: "/mnt" });
    expect(targetInput({ ...all, place: "service" })).toEqual({ name: "disk", s3: { serviceId: "s1", bucket: "b" } });
    expect(targetInput({ ...all, place: "s3", accessKey: "k", secretKey: "s", writeMiBPerSecond: "20" })).toEqual({
      name: "disk",
      writeMiBPerSecond: 20,
      s3: { endpoint: "https://s3", bucket: "b", accessKey: "k", secretKey: "s" },
    });
  });
});

describe("the name of a restored service", () => {
  it("is free and short enough", () => {
    expect(restoredName("shop", () => false)).toBe("shop-restored");
    expect(restoredName("shop", (n) => n !== "shop-restored-3")).toBe("shop-restored-3");
    expect(restoredName("a".repeat(63), () => false)).toHaveLength(63);
  });

  it("must not be taken", () => {
    expect(restoreNameProblem("shop", (n) => n === "shop")).toContain("already exists");
    expect(restoreNameProblem("Shop", () => false)).toBe("Use lowercase letters.");
    expect(restoreNameProblem("shop-2", () => false)).toBe("");
  });
});

describe("states of all services", () => {
  const page = (...states: [string, BackupStatesPage["services"]["nodes"][number]["backup"]["state"]][]) =>
    ({
      services: {
        nodes: states.map(([id, state]) => ({ id, backup: { state, reason: state } })),
        pageInfo: { hasNextPage: false, endCursor: null },
      },
      backupTargets: [{ id: "t1", name: "disk", reachable: true, recoveryKitTakenAt: null }],
    }) as BackupStatesPage;

  it("are put together, and what needs attention stands out", () => {
    const all = collect([page(["a", "OK"], ["b", "LATE"]), page(["c", "UNPROVEN"], ["d", "NONE"], ["e", "FAILING"])]);
    expect(all.trouble).toEqual(["b", "c", "e"]);
    expect(all.byId.size).toBe(5);
    expect(all.targets.map((t) => t.name)).toEqual(["disk"]);
  });

  it("stay the same objects while nothing in them changes", () => {
    const before = collect([page(["a", "OK"], ["b", "LATE"])]);
    const after = collect([page(["a", "FAILING"], ["b", "LATE"])], before);
    expect(after.byId.get("b")).toBe(before.byId.get("b"));
    expect(after.byId.get("a")).not.toBe(before.byId.get("a"));
    expect(after.targets).toBe(before.targets);
    expect(collect([page(["a", "OK"], ["b", "LATE"])], before).trouble).toBe(before.trouble);
  });
});
