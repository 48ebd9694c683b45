import { nameProblem } from "../../lib/validate";

const longest = 63;

/** A free name for a service that is made of a backup: "shop-restored", "shop-restored-2". */
export function restoredName(of: string, taken: (name: string) => boolean): string {
  for (let n = 1; ; n++) {
    const end = n === 1 ? "-restored" : `-restored-${n}`;
    const name = of.slice(0, longest - end.length).replace(/-+$/, "") + end;
    if (!taken(name)) return name;
  }
}

/** What is wrong with the name, in words; empty when nothing is. */
export function restoreNameProblem(name: string, taken: (name: string) => boolean): string {
  return nameProblem(name) || (taken(name) ? `A service named ${name} already exists. Choose another name.` : "");
}
