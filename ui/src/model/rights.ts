import type { Kind, Viewer } from "../graphql/documents";
import { kinds } from "./kinds";

export type Role = Viewer["role"];

/** What people do, by how much it takes. The server has the last word: this only hides what it would refuse. */
export type Deed = "launch" | "operate" | "reveal" | "remove" | "deleteData" | "manageNodes" | "manageAccess";

const ranks: Record<Role, number> = { VIEWER: 0, OPERATOR: 1, ADMIN: 2 };
const needs: Record<Deed, Role> = {
  launch: "OPERATOR",
  operate: "OPERATOR",
  reveal: "OPERATOR",
  remove: "OPERATOR",
  deleteData: "ADMIN",
  manageNodes: "ADMIN",
  manageAccess: "ADMIN",
};

export const roles: readonly Role[] = ["VIEWER", "OPERATOR", "ADMIN"];

export const roleWhat: Record<Role, string> = {
  VIEWER: "Sees everything except secrets.",
  OPERATOR: "Launches, starts, stops and removes services, and sees their credentials. Cannot delete data.",
  ADMIN: "Can do everything, including deleting data and managing nodes, tokens and sessions.",
};

export function allows(viewer: Pick<Viewer, "role"> | undefined, deed: Deed): boolean {
  return viewer !== undefined && ranks[viewer.role] >= ranks[needs[deed]];
}

/** The kinds of services that are there for somebody. */
export function kindsOf(viewer: Pick<Viewer, "kinds"> | undefined): readonly Kind[] {
  return viewer && viewer.kinds.length > 0 ? kinds.filter((kind) => viewer.kinds.includes(kind)) : kinds;
}
