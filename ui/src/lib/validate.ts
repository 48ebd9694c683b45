/** What is wrong with a service's or node's name, in words; empty when nothing is. */
export function nameProblem(name: string): string {
  if (name === "") return "Give it a name.";
  if (/[A-Z]/.test(name)) return "Use small letters.";
  if (!/^[a-z0-9-]+$/.test(name)) return "Use small letters, digits and dashes only.";
  if (!/^[a-z]/.test(name)) return "Begin with a letter.";
  if (name.endsWith("-")) return "End with a letter or a digit.";
  if (name.length > 63) return `Use at most 63 characters; these are ${name.length}.`;
  return "";
}

/** What is wrong with a number that may be left out; empty when nothing is. */
export function numberProblem(text: string, min: number, max: number, whole = false): string {
  if (text.trim() === "") return "";
  const n = Number(text);
  if (!Number.isFinite(n)) return "Write a number.";
  if (whole && !Number.isInteger(n)) return "Write a whole number.";
  if (n < min || n > max) return `Use ${min} to ${max}.`;
  return "";
}
