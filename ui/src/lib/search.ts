/** What an address has behind the "?". All of it is optional, and unknown parameters are dropped. */
export type Raw = Record<string, unknown>;

/** Returns the value if it is one of the known ones. */
export const oneOf = <T extends string>(all: readonly T[], value: unknown): T | undefined =>
  all.find((known) => known === value);

/** Returns the value if it is a text that is not empty. */
export const text = (value: unknown) => (typeof value === "string" && value !== "" ? value : undefined);

/** Returns the search without parameters that are undefined. */
export function drop<T extends object>(search: T): T {
  return Object.fromEntries(Object.entries(search).filter(([, value]) => value !== undefined)) as T;
}

// Addresses stay readable: plain words, no JSON.
export const parseSearch = (search: string): Raw => Object.fromEntries(new URLSearchParams(search));
export function stringifySearch(search: Raw): string {
  const params = new URLSearchParams();
  for (const [key, value] of Object.entries(search)) if (value !== undefined) params.set(key, String(value));
  const out = params.toString();
  return out && `?${out}`;
}
