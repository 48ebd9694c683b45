import { client, onUnauthenticated, run } from "../graphql/client";
import { CurrentViewer, type NodeAction, type ServiceAction, type Viewer } from "../graphql/documents";
import { live } from "../graphql/live";
import { fetchSigned, forgetKey, onNewKey, sessionKey } from "../graphql/sessionkey";
import { onForbidden } from "../graphql/socket";
import { wordsOf } from "../lib/errors";
import { type BackupDialog, dialogs, type Open } from "./dialogs";
import { allows, kindsOf, type Permission } from "./rights";
import { redirectToSignIn, type SignInReason } from "./signinreturn";

const again = 1_000; // ms between attempts to load the viewer

let viewer: Viewer | undefined;
let over = false;
let signingOut = false; // the server may end the connection before it has answered

/** Who is signed in. It stays the same for as long as the page lives: another session is another page. */
export function me(): Viewer {
  if (!viewer) throw new Error("nobody is signed in");
  return viewer;
}

export const can = (permission: Permission) => allows(viewer, permission);
export const myKinds = () => kindsOf(viewer);

/** Asks who is signed in until the server answers; never comes back when nobody is. `failed` is told why it takes long. */
export async function begin(failed: (words: string) => void, end: () => void): Promise<Viewer> {
  const leave = (reason: SignInReason, refused?: string) => {
    if (over) return;
    over = true;
    end();
    redirectToSignIn(reason, refused);
  };
  const lost = (refused: string) => {
    if (over || signingOut) return;
    if (!sessionKey() || sessionKey() === refused) return leave(viewer ? "ended" : "", refused);
    over = true;
    location.reload(); // another session has begun here since the request was sent
  };
  onUnauthenticated(lost);
  onForbidden(lost);
  leaveNow = leave;
  dialogs.guard(mayOpen);
  for (;;) {
    try {
      viewer = (await run(CurrentViewer, {})).viewer;
      break;
    } catch (error) {
      if (over) await new Promise(() => {});
      failed(wordsOf(error));
      await new Promise((resolve) => setTimeout(resolve, again));
    }
  }
  watch();
  return viewer;
}

let leaveNow: (reason: SignInReason) => void = () => {};

const needed: Partial<Record<Open["type"], Permission>> = {
  launch: "launch",
  register: "manageNodes",
  deleteRetained: "deleteData",
  createToken: "manageAccess",
  revokeToken: "manageAccess",
  loginLink: "manageAccess",
};

const neededForBackups: Record<BackupDialog["type"], Permission | undefined> = {
  contents: undefined,
  backUp: "backUp",
  restore: "backUp",
  move: "backUp",
  swap: "backUp",
  policy: "backUp",
  deletePolicy: "backUp",
  deleteBackup: "manageBackups",
  createTarget: "manageBackups",
  importTarget: "manageBackups",
  recoveryKit: "manageBackups",
  deleteTarget: "manageBackups",
};

/** Reports whether the viewer may do what a dialog is for. */
function mayOpen(open: Open): boolean {
  switch (open.type) {
    case "remove":
      return mayNow(open.id, "REMOVE");
    case "rotate":
      return mayNow(open.id, "ROTATE_CREDENTIALS");
    case "labels":
      return mayNow(open.id, "SET_LABELS");
    case "removeNode":
      return mayOnNode(open.id, "REMOVE") || mayOnNode(open.id, "FORGET");
    case "separate":
      return mayNow(open.id, "SEPARATE_ADMIN");
  }
  const permission = open.type === "backup" ? neededForBackups[open.of.type] : needed[open.type];
  return !permission || can(permission);
}

/** Reports whether the server allows an action on a service now. */
const mayNow = (id: string, action: ServiceAction) => live.service(id)?.allowedActions.includes(action) ?? false;

/** Reports whether the server allows an action on a node now. */
const mayOnNode = (id: string, action: NodeAction) => live.node(id)?.allowedActions.includes(action) ?? false;

/** Ends the session, and leaves nothing of it in this browser. */
export async function signOut() {
  signingOut = true;
  const answer = await fetchSigned("/auth/sign-out", { method: "POST" }).catch(() => undefined);
  if (!answer || (!answer.ok && answer.status !== 401)) {
    signingOut = false;
    throw new Error("The server did not answer. You are still signed in.");
  }
  forgetKey();
  try {
    for (const key of Object.keys(localStorage)) if (key.startsWith("graphiql")) localStorage.removeItem(key);
  } catch {
    // Storage is forbidden: nothing was kept either.
  }
  leaveNow("out");
}

/**
 * Reloads the page once another session than its own has begun in this browser. That is heard from the tab where somebody
 * signed in, and looked for when one comes back to this one, which the browser may have put to sleep or kept from before.
 */
function watch() {
  onNewKey(() => location.reload());
  const look = async () => {
    if (document.visibilityState === "hidden" || over) return;
    const now = await client.query(CurrentViewer, {}, { requestPolicy: "network-only" }).toPromise();
    if (now.data && now.data.viewer.sessionId !== viewer?.sessionId) location.reload();
  };
  document.addEventListener("visibilitychange", () => void look());
  addEventListener("pageshow", (event) => {
    if (!event.persisted) return;
    if (over) redirectToSignIn("");
    else void look();
  });
}
