/** What is wrong with a service's or node's name, in words; empty when nothing is. */
export function nameProblem(name: string): string {
  if (name === "") return "Enter a name.";
  if (/[A-Z]/.test(name)) return "Use lowercase letters.";
  if (!/^[a-z0-9-]+$/.test(name)) return "Use only lowercase letters, digits and dashes.";
  if (!/^[a-z]/.test(name)) return "Start with a letter.";
  if (name.endsWith("-")) return "End with a letter or a digit.";
  if (name.length > 63) return `Use at most 63 characters. The name has ${name.length}.`;
  return "";
}

/** What is wrong with a number that may be left out; empty when nothing is. */
export function numberProblem(
  text: string,
  min = Number.NEGATIVE_INFINITY,
  max = Number.POSITIVE_INFINITY,
  whole = false,
): string {
  if (text.trim() === "") return "";
  const n = Number(text);
  if (!Number.isFinite(n)) return "Enter a number.";
  if (whole && !Number.isInteger(n)) return "Enter a whole number.";
  if (n < min || n > max) return `Use ${min} to ${max}.`;
  return "";
}
