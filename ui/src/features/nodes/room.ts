import { amountOf, axisValue, type Unit } from "../../lib/units";
import type { NodeUsage } from "./documents";

/** How much of one thing a machine has, and what of it is used. */
export interface Room {
  name: string;
  unit: Unit;
  used: number | null;
  total: number | null;
  /** What its services use of it; null where that is not known. */
  services: number | null;
  /** The sum of the limits of its services; null where there are no limits. */
  promised: number | null;
}

export function roomsOf(u: NodeUsage): Room[] {
  const rooms: Room[] = [
    { name: "CPU", unit: "cores", used: u.cpu, total: u.cpus, services: u.servicesCpu, promised: u.promisedCpu },
    {
      name: "Memory",
      unit: "bytes",
      used: u.memoryBytes,
      total: u.memoryTotalBytes,
      services: u.servicesMemoryBytes,
      promised: u.promisedMemoryBytes,
    },
    { name: "Disk", unit: "bytes", used: u.diskBytes, total: u.diskTotalBytes, services: null, promised: null },
  ];
  return rooms.filter((room) => room.used !== null || room.total !== null);
}

/** "3.4 of 8 cores used". */
export function usedWords({ unit, used, total }: Room): string {
  if (used === null) return total === null ? "" : amountOf(unit, total);
  return total === null ? `${amountOf(unit, used)} used` : `${axisValue(unit, used)} of ${amountOf(unit, total)} used`;
}

/** The other numbers, in words: "services 2.1", "promised 6", "free 4.6". */
export function restOf({
  unit,
  used,
  total,
  services,
  promised,
}: Room): { what: "services" | "promised" | "free"; words: string }[] {
  const rest = {
    services,
    promised: promised || null, // without limits nothing is promised
    free: used !== null && total !== null ? Math.max(0, total - used) : null,
  };
  return (["services", "promised", "free"] as const).flatMap((what) => {
    const n = rest[what];
    return n === null ? [] : [{ what, words: `${what} ${axisValue(unit, n)}` }];
  });
}

/** Part of the whole in percent, 0 to 100. */
export const part = (n: number | null, total: number | null) =>
  n === null || !total ? 0 : Math.max(0, Math.min(100, (n / total) * 100));
