import { describe, expect, it } from "vitest";
import { formField, inputOf, type LaunchValues, presetOf, whyNoSize } from "../src/features/services/launch";
import { limitWords } from "../src/features/services/words";
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
  const pico = { name: "pico", defaultOn: ["PROCESS"] as const, drivers: ["PROCESS"] as const };
  const grand = { name: "grand", defaultOn: ["DOCKER"] as const, drivers: ["DOCKER"] as const };
  const templates = [grand, pico].map((t) => ({ ...t, defaultOn: [...t.defaultOn], drivers: [...t.drivers] }));
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
