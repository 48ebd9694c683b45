import type { Kind, Viewer } from "../graphql/documents";
import { kinds } from "./kinds";

export type Role = Viewer["role"];

/**
 * Permissions that do not depend on one service or node; those that do are its `allowedActions`. The server checks every request:
 * the dashboard only hides what it would refuse.
 */
export type Permission =
  | "launch"
  | "operate"
  | "readLogs"
  | "backUp"
  | "deleteData"
  | "manageBackups"
  | "manageNodes"
  | "manageAccess";

const ranks: Record<Role, number> = { VIEWER: 0, OPERATOR: 1, ADMIN: 2 };
const needs: Record<Permission, Role> = {
  launch: "OPERATOR",
  operate: "OPERATOR", // decides whether there are columns and toolbars of actions, not what is in them
  readLogs: "OPERATOR",
  backUp: "OPERATOR", // and restore, and set policies
  deleteData: "ADMIN",
  manageBackups: "ADMIN",
  manageNodes: "ADMIN",
  manageAccess: "ADMIN",
};

export const roles: readonly Role[] = ["VIEWER", "OPERATOR", "ADMIN"];

export const roleWhat: Record<Role, string> = {
  VIEWER: "Sees everything except secrets.",
  OPERATOR: "Launches, starts, stops and removes services, and sees their credentials. Cannot delete data.",
  ADMIN: "Can do everything, including deleting data and managing nodes, tokens and sessions.",
};

/** Reports whether a viewer has a permission. */
export function allows(viewer: Pick<Viewer, "role"> | undefined, permission: Permission): boolean {
  return viewer !== undefined && ranks[viewer.role] >= ranks[needs[permission]];
}

/** Returns the kinds of services that a viewer can see. */
export function kindsOf(viewer: Pick<Viewer, "kinds"> | undefined): readonly Kind[] {
  return viewer && viewer.kinds.length > 0 ? kinds.filter((kind) => viewer.kinds.includes(kind)) : kinds;
}
