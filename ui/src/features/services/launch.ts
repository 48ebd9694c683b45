import type { Kind, LaunchInput, Template, UwsNode } from "../../graphql/documents";
import { numberProblem } from "../../lib/validate";

type Settings = Template["settings"];
type Setting = NonNullable<Settings["limits"]>["cpus" | "pids"] | Settings["healthCheck"]["interval"];

/** The numbers that a launch may set. The template's settings give their default and range. */
export const numbers = [
  { group: "limits", name: "memoryMiB", label: "Memory (MiB)", setting: (s) => s.limits?.memoryMiB },
  { group: "limits", name: "cpus", label: "Processors", setting: (s) => s.limits?.cpus },
  { group: "limits", name: "pids", label: "Processes and threads", setting: (s) => s.limits?.pids },
  { group: "healthCheck", name: "intervalSeconds", label: "Check every (s)", setting: (s) => s.healthCheck.interval },
  { group: "healthCheck", name: "timeoutSeconds", label: "Timeout (s)", setting: (s) => s.healthCheck.timeout },
  {
    group: "healthCheck",
    name: "failureThreshold",
    label: "Failures until restart",
    setting: (s) => s.healthCheck.failureThreshold,
  },
  { group: "healthCheck", name: "graceSeconds", label: "Time to start (s)", setting: (s) => s.healthCheck.grace },
] as const satisfies readonly {
  group: string;
  name: string;
  label: string;
  setting: (s: Settings) => Setting | undefined;
}[];
export type NumberGroup = (typeof numbers)[number]["group"];
type NumberField = (typeof numbers)[number];

/** Returns the default and the range of a number, undefined while no template is known. */
export function settingOf(n: NumberField, template: Pick<Template, "settings"> | undefined): Setting | undefined {
  return template && n.setting(template.settings);
}

/** Reports whether a setting takes whole numbers only. */
export const isWhole = (setting: Setting) => setting.__typename === "IntSetting";

/** Returns what is wrong with a number as it was typed; empty if nothing is, or if it was left out. */
export function settingProblem(text: string | undefined, setting: Setting | undefined): string {
  return setting ? numberProblem(text ?? "", setting.min, setting.max, isWhole(setting)) : numberProblem(text ?? "");
}

/** What the server calls a number's field. */
export const fieldOf = (n: NumberField) => `${n.group}.${n.name}` as const;

export interface LaunchValues {
  kind: Kind;
  name: string;
  template: string;
  nodeId: string;
  reattach: string;
  /** As they were typed, by `fieldOf`; what is missing or empty is as in the template. */
  numbers: Partial<Record<ReturnType<typeof fieldOf>, string>>;
  /** As they were typed, by the template's name of the port; what is missing or empty is chosen. */
  ports: Record<string, string>;
}

/** What the form calls the field of a port. */
export const portField = (name: string) => `ports.${name}`;

/** The ports with a number, in the order in which they are sent. */
const portsOf = (v: Pick<LaunchValues, "ports">, names: readonly string[]) =>
  names.filter((name) => v.ports[name]?.trim()).map((name) => ({ name, number: Number(v.ports[name]) }));

/** The form's field for the server's: that of a port is known by its place among those that were sent. */
export function formField(field: string, v: LaunchValues, names: readonly string[]): string {
  const place = /^input\.ports\[(\d+)\]/.exec(field)?.[1];
  const sent = place && portsOf(v, names)[Number(place)];
  return sent ? portField(sent.name) : field;
}

/** The input of the mutation, with the numbers of these groups and the ports of these names alone. */
export function inputOf(
  v: LaunchValues,
  groups: readonly NumberGroup[] = ["limits", "healthCheck"],
  names: readonly string[] = [],
): LaunchInput {
  const ports = portsOf(v, names);
  const input: LaunchInput = {
    kind: v.kind,
    name: v.name,
    ...(v.template && { template: v.template }),
    ...(v.nodeId && { nodeId: v.nodeId }),
    ...(v.reattach && { reattach: v.reattach }),
    ...(ports.length > 0 && { ports }),
  };
  for (const n of numbers) {
    const text = v.numbers[fieldOf(n)]?.trim();
    if (text && groups.includes(n.group)) input[n.group] = { ...input[n.group], [n.name]: Number(text) };
  }
  return input;
}

type Machine = Pick<UwsNode, "id" | "driver">;

/** The drivers a launch may end up on, the preferred one first. With no node yet it is for this machine. */
function driversOf(nodes: readonly Machine[], nodeId: string): UwsNode["driver"][] {
  const has = nodes.filter((n) => !nodeId || n.id === nodeId).map((n) => n.driver);
  return has.length === 0 ? ["PROCESS"] : (["DOCKER", "PROCESS"] as const).filter((d) => has.includes(d));
}

/** Which of a kind's templates the server takes when none is chosen. */
export function presetOf<T extends Pick<Template, "defaultOn">>(
  templates: readonly T[],
  nodes: readonly Machine[],
  nodeId: string,
): T | undefined {
  return driversOf(nodes, nodeId)
    .map((driver) => templates.find((t) => t.defaultOn.includes(driver)))
    .find((t) => t !== undefined);
}

/** Why a launch cannot be held to limits, in words; empty when it can. */
export function whyNoSize(
  template: Pick<Template, "name" | "settings"> | undefined,
  nodes: readonly Machine[],
  nodeId: string,
): string {
  if (!driversOf(nodes, nodeId).includes("DOCKER")) {
    return nodeId
      ? "This node does not support limits. Use a Docker Engine for them."
      : "Limits need a Docker Engine, and none is registered.";
  }
  if (template && !template.settings.limits) return `${template.name} does not support limits.`;
  return "";
}
