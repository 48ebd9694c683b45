import { describe, expect, it } from "vitest";
import {
  formField,
  inputOf,
  type LaunchValues,
  numbers,
  presetOf,
  settingOf,
  settingProblem,
  whyNoSize,
} from "../src/features/services/launch";
import { limitWords } from "../src/features/services/words";
import type { Template } from "../src/graphql/documents";
import { node } from "./service";

const values: LaunchValues = {
  kind: "DB",
  name: "orders",
  template: "",
  nodeId: "",
  reattach: "",
  numbers: {},
  ports: {},
};

const int = (value: number, min: number, max: number) => ({
  __typename: "IntSetting" as const,
  default: value,
  min,
  max,
});
const duration = (value: number, min: number, max: number) => ({
  __typename: "DurationSetting" as const,
  default: value,
  min,
  max,
});
const settings: Template["settings"] = {
  limits: {
    memoryMiB: int(512, 32, 1024),
    cpus: { __typename: "FloatSetting", default: 1, min: 0.1, max: 4 },
    pids: int(100, 9, 200),
  },
  healthCheck: {
    interval: duration(5, 2, 60),
    timeout: duration(1, 0.5, 10),
    failureThreshold: int(3, 1, 7),
    grace: duration(30, 3, 90),
  },
  portNumbers: { first: 20_000, last: 29_999 },
};

describe("inputOf", () => {
  it("leaves out what was not chosen", () => {
    expect(inputOf({ ...values, numbers: { "limits.cpus": " ", "healthCheck.graceSeconds": "" } })).toEqual({
      kind: "DB",
      name: "orders",
    });
  });

  it("puts each number into its group", () => {
    const numbers = { "limits.memoryMiB": "512", "limits.cpus": " 0.5", "healthCheck.failureThreshold": "2" };
    expect(inputOf({ ...values, nodeId: "n1", numbers })).toEqual({
      kind: "DB",
      name: "orders",
      nodeId: "n1",
      limits: { memoryMiB: 512, cpus: 0.5 },
      healthCheck: { failureThreshold: 2 },
    });
    expect(inputOf({ ...values, numbers }, ["healthCheck"])).not.toHaveProperty("limits");
  });

  it("has the ports of the template that were given a number", () => {
    const ports = { sql: " 20001 ", admin: "", other: "20002", web: "20003" };
    const names = ["admin", "sql", "web"];
    expect(inputOf({ ...values, ports }, [], names).ports).toEqual([
      { name: "sql", number: 20001 },
      { name: "web", number: 20003 },
    ]);
    expect(formField("input.ports[1].number", { ...values, ports }, names)).toBe("ports.web");
    expect(formField("input.ports", { ...values, ports }, names)).toBe("input.ports");
    expect(inputOf(values, [], names)).not.toHaveProperty("ports");
  });
});

describe("the default template", () => {
  const pico = { name: "pico", defaultOn: ["PROCESS"] as const, settings: { ...settings, limits: null } };
  const grand = { name: "grand", defaultOn: ["DOCKER"] as const, settings };
  const templates = [grand, pico].map((t) => ({ ...t, defaultOn: [...t.defaultOn] }));
  const local = node("local");
  const engine = node("engine", { driver: "DOCKER" });

  it.each([
    ["this machine's without any node", [], "", "pico"],
    ["this machine's without a Docker Engine", [local], "", "pico"],
    ["a Docker Engine's where there is one", [local, engine], "", "grand"],
    ["that of the chosen node", [local, engine], local.id, "pico"],
    ["that of a chosen Docker Engine", [local, engine], engine.id, "grand"],
  ])("is %s", (_, nodes, nodeId, name) => {
    expect(presetOf(templates, nodes, nodeId)?.name).toBe(name);
  });

  it("is that of processes where a Docker Engine has none, unless that one was chosen", () => {
    const only = templates.filter((t) => t.name === "pico");
    expect(presetOf(only, [local, engine], "")?.name).toBe("pico");
    expect(presetOf(only, [local, engine], engine.id)).toBeUndefined();
  });

  it("can have a size only on a Docker Engine, and says why not", () => {
    const [big, small] = templates;
    expect(whyNoSize(small, [local], "")).toMatch(/none is registered/);
    expect(whyNoSize(big, [local, engine], local.id)).toMatch(/This node/);
    expect(whyNoSize(small, [local, engine], "")).toMatch(/^pico/);
    expect(whyNoSize(big, [local, engine], "")).toBe("");
  });
});

it("tells limits in words", () => {
  expect(limitWords({ memoryMiB: 1024, cpus: 0.5, pids: 200 })).toBe("1,024 MiB memory, 0.5 processors, 200 processes");
  expect(limitWords({ memoryMiB: null, cpus: 1, pids: null })).toBe("1 processor");
  expect(limitWords({ memoryMiB: null, cpus: null, pids: null })).toBe("");
});

describe("a number's setting", () => {
  const of = (name: string) => settingOf(numbers.find((n) => n.name === name) ?? numbers[0], { settings });

  it("is the template's", () => {
    expect(numbers.map((n) => settingOf(n, { settings })?.default)).toEqual([512, 1, 100, 5, 1, 3, 30]);
    expect(settingOf(numbers[0], { settings: { ...settings, limits: null } })).toBeUndefined();
  });

  it.each([
    ["memoryMiB", "31", "Use 32 to 1024."],
    ["memoryMiB", "32.5", "Enter a whole number."],
    ["cpus", "0.1", ""],
    ["timeoutSeconds", "0.4", "Use 0.5 to 10."],
    ["failureThreshold", "8", "Use 1 to 7."],
    ["graceSeconds", "", ""],
  ])("checks %s %j", (name, text, problem) => {
    expect(settingProblem(text, of(name))).toBe(problem);
  });

  it("is not needed to tell what is no number", () => {
    expect(settingProblem("x", undefined)).toBe("Enter a number.");
    expect(settingProblem("-1", undefined)).toBe("");
  });
});
