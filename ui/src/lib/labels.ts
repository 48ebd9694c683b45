export interface Label {
  name: string;
  value: string;
}

/** The labels as text, one on a line: name=value, or the name alone where the value is empty. */
export const labelText = (labels: readonly Label[]) =>
  labels.map(({ name, value }) => (value ? `${name}=${value}` : name)).join("\n");

/** Reads what {@link labelText} writes. Empty lines and space around names and values do not count. */
export const labelsIn = (text: string): Label[] =>
  text
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "")
    .map((line) => {
      const at = line.indexOf("=");
      return at < 0 ? { name: line, value: "" } : { name: line.slice(0, at).trim(), value: line.slice(at + 1).trim() };
    });

/** What makes `before` to `after`. */
export function labelChange(before: readonly Label[], after: readonly Label[]) {
  return {
    set: after.filter((a) => !before.some((b) => b.name === a.name && b.value === a.value)),
    remove: before.filter((b) => !after.some((a) => a.name === b.name)).map((b) => b.name),
  };
}
