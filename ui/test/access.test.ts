import { describe, expect, it } from "vitest";
import {
  actionName,
  browserOf,
  detailWords,
  endOf,
  labelProblem,
  rightsInput,
  wayOf,
} from "../src/features/access/access";
import { auditSearch } from "../src/features/access/search";
import { failureOf, secretOf } from "../src/features/access/signin";
import { allows, kindsOf, type Permission, type Role } from "../src/model/rights";
import { returnPath } from "../src/model/signinreturn";

describe("rights", () => {
  const permissions: Permission[] = ["launch", "operate", "deleteData", "manageNodes", "manageAccess"];
  it.each<[Role, Permission[]]>([
    ["VIEWER", []],
    ["OPERATOR", ["launch", "operate"]],
    ["ADMIN", permissions],
  ])("%s may %j", (role, may) => {
    expect(permissions.filter((permission) => allows({ role }, permission))).toEqual(may);
  });

  it("nobody may do nothing", () => {
    expect(permissions.filter((permission) => allows(undefined, permission))).toEqual([]);
  });

  it("no kinds are all kinds, in the order of the menu", () => {
    expect(kindsOf({ kinds: [] })).toHaveLength(5);
    expect(kindsOf({ kinds: ["NOSQL", "DB"] })).toEqual(["DB", "NOSQL"]);
  });
});

describe("secretOf", () => {
  it.each([
    ["http://127.0.0.1:8080/sign-in#uwsl_abc", "uwsl_abc"],
    [" https://uws.example/sign-in#uwsl_abc \n", "uwsl_abc"],
    ["#uwsl_abc", "uwsl_abc"],
    ["uws_abc-1", "uws_abc-1"],
    ["", ""],
    ["#", ""],
    ["http://127.0.0.1:8080/sign-in", ""],
    ["two words", ""],
  ])("%j is %j", (text, secret) => {
    expect(secretOf(text)).toBe(secret);
  });
});

describe("returnPath", () => {
  it.each([
    ["/services?status=healthy", "/services?status=healthy"],
    ["/playground", "/playground"],
    [null, "/"],
    ["", "/"],
    ["//elsewhere.example", "/"],
    ["/\\elsewhere.example", "/"],
    ["https://elsewhere.example", "/"],
    ["javascript:alert(1)", "/"],
    ["/sign-in", "/"],
    ["/sign-in?x", "/"],
    ["/sign-ins", "/sign-ins"],
  ])("%j leads to %j", (text, place) => {
    expect(returnPath(text)).toBe(place);
  });
});

describe("failureOf", () => {
  it.each([
    [0, "", "The server did not answer. Is uws still running?"],
    [
      401,
      "this login link has expired; `uws login-link` makes another",
      "This login link has expired; uws login-link makes another",
    ],
    [429, "whatever", "Too many attempts. Wait half a minute, then try again."],
    [500, "whatever", "The server could not check it. See the server's log."],
    [502, "", "The server could not check it. See the server's log."],
  ])("%d %j is %j", (status, message, words) => {
    expect(failureOf(status, message)).toBe(words);
  });
});

describe("a token", () => {
  it("ends so many days from now, or never", () => {
    expect(endOf(7, Date.UTC(2026, 0, 1))).toBe("2026-01-08T00:00:00.000Z");
    expect(endOf(0, Date.UTC(2026, 0, 1))).toBeUndefined();
  });

  it("is limited to kinds unless it is an ADMIN's", () => {
    expect(rightsInput({ name: " ci ", role: "OPERATOR", kinds: ["DB"] })).toEqual({
      name: "ci",
      role: "OPERATOR",
      kinds: ["DB"],
    });
    expect(rightsInput({ name: "ci", role: "VIEWER", kinds: [] })).toEqual({ name: "ci", role: "VIEWER" });
    expect(rightsInput({ name: "ci", role: "ADMIN", kinds: ["DB"] })).toEqual({ name: "ci", role: "ADMIN" });
  });

  it("has a name", () => {
    expect(labelProblem(" ")).not.toBe("");
    expect(labelProblem("x".repeat(101))).not.toBe("");
    expect(labelProblem("🦄".repeat(100))).toBe("");
  });
});

describe("browserOf", () => {
  it.each([
    [
      "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/142.0.0.0 Safari/537.36",
      "Chrome 142 on Linux",
    ],
    [
      "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36 Edg/130.0.0.0",
      "Edge 130 on Windows",
    ],
    ["Mozilla/5.0 (X11; Linux x86_64; rv:132.0) Gecko/20100101 Firefox/132.0", "Firefox 132 on Linux"],
    [
      "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Safari/605.1.15",
      "Safari 18 on macOS",
    ],
    [
      "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Mobile/15E148 Safari/604.1",
      "Safari 18 on iOS",
    ],
    [
      "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Mobile Safari/537.36",
      "Chrome 130 on Android",
    ],
    ["curl/8.5.0", "curl/8.5.0"],
    ["", "Unknown program"],
  ])("%s is %s", (agent, words) => {
    expect(browserOf(agent)).toBe(words);
  });
});

describe("an audit line", () => {
  it("says its detail in words", () => {
    expect(detailWords('{"role":"VIEWER","kinds":["DB","QUEUE"],"empty":[],"none":null}')).toBe(
      "role: VIEWER, kinds: DB, QUEUE",
    );
    expect(detailWords('{"limits":{"cpus":1}}')).toBe('limits: {"cpus":1}');
    expect(detailWords("")).toBe("");
    expect(detailWords("no JSON")).toBe("no JSON");
  });

  it("says from where it came", () => {
    expect(wayOf({ address: "10.0.0.5", door: "WEBSOCKET" })).toBe("10.0.0.5, over WebSocket");
    expect(wayOf({ address: "10.0.0.5", door: "HTTP" })).toBe("10.0.0.5");
    expect(wayOf({ address: "", door: "COMMAND" })).toBe("on the command line");
    expect(wayOf({ address: "", door: null })).toBe("");
  });

  it("names an action that is not known by its own name", () => {
    expect(actionName("launchService")).toBe("Launch");
    expect(actionName("flyToTheMoon")).toBe("flyToTheMoon");
  });

  it("is filtered by what the address says", () => {
    expect(auditSearch({ actor: "bob", action: "", other: "x" })).toEqual({ actor: "bob" });
  });
});
