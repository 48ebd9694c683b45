/** Returns the text with a capital first letter. */
export function sentence(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** "1 service", "2 services". */
export function plural(n: number, one: string, many = `${one}s`): string {
  return `${n.toLocaleString("en")} ${n === 1 ? one : many}`;
}

const units = ["B", "KiB", "MiB", "GiB", "TiB"];

/** "512 B", "1.5 KiB", "120 GiB". */
export function bytes(n: number): string {
  let unit = 0;
  while (n >= 1024 && unit < units.length - 1) {
    n /= 1024;
    unit++;
  }
  return `${n >= 100 || unit === 0 ? Math.round(n) : n.toFixed(1)} ${units[unit]}`;
}

/** A number of cores, without its unit: "0.004", "0.42", "3.5", "12". */
export const cores = (n: number) => String(Number(n.toFixed(n < 0.1 ? 3 : n < 10 ? 2 : 1)));

/** "1.5 KiB/s". */
export const rate = (perSecond: number) => `${bytes(perSecond)}/s`;

/** "1,204". */
export const count = (n: number) => Math.round(n).toLocaleString("en");

/** A share of 0 to 1, rounded down, so that 100 % means all: "99.98 %", "100 %". */
export function percent(share: number): string {
  if (share >= 1) return "100 %";
  return `${(Math.floor(share * 10_000) / 100).toFixed(2)} %`;
}

/** "connections_used" as "Connections used". */
export const named = (name: string) => sentence(name.replaceAll("_", " "));
