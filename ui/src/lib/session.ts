import { client, onUnauthenticated, run } from "../graphql/client";
import { type Viewer, WhoAsks } from "../graphql/documents";
import { onForbidden } from "../graphql/socket";
import { dialogs } from "./dialogs";
import { allows, type Deed, kindsOf } from "./rights";
import { wordsOf } from "./toast";
import { leadToSignIn, type Why } from "./wanted";

const again = 1_000; // ms before who asks is asked for anew

let viewer: Viewer | undefined;
let over = false;

/** Who is signed in. It stays the same for as long as the page lives: another session is another page. */
export function me(): Viewer {
  if (!viewer) throw new Error("nobody is signed in");
  return viewer;
}

export const can = (deed: Deed) => allows(viewer, deed);
export const myKinds = () => kindsOf(viewer);

/** Asks who is signed in until the server answers; never comes back when nobody is. `failed` is told why it takes long. */
export async function begin(failed: (words: string) => void, end: () => void): Promise<Viewer> {
  const leave = (why: Why) => {
    if (over) return;
    over = true;
    end();
    leadToSignIn(why);
  };
  const lost = () => leave(viewer ? "ended" : "");
  onUnauthenticated(lost);
  onForbidden(lost);
  leaveNow = leave;
  dialogs.guard((open) => !needsOf[open.type] || can(needsOf[open.type] as Deed));
  for (;;) {
    try {
      viewer = (await run(WhoAsks, {})).viewer;
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

let leaveNow: (why: Why) => void = () => {};

const needsOf: Partial<Record<string, Deed>> = {
  launch: "launch",
  remove: "remove",
  rotate: "operate",
  register: "manageNodes",
  removeNode: "manageNodes",
  deleteRetained: "deleteData",
  createToken: "manageAccess",
  revokeToken: "manageAccess",
  loginLink: "manageAccess",
};

/** Ends the session, and leaves nothing of it in this browser. */
export async function signOut() {
  const answer = await fetch("/auth/sign-out", { method: "POST" }).catch(() => undefined);
  if (!answer || (!answer.ok && answer.status !== 401)) {
    throw new Error("The server did not answer: you are still signed in.");
  }
  try {
    for (const key of Object.keys(localStorage)) if (key.startsWith("graphiql")) localStorage.removeItem(key);
  } catch {
    // Storage is forbidden: nothing was kept either.
  }
  leaveNow("out");
}

/** Somebody else may sign in in another tab, and a page may be brought back from where the browser keeps old ones. */
function watch() {
  const look = async () => {
    if (document.visibilityState === "hidden" || over) return;
    const now = await client.query(WhoAsks, {}, { requestPolicy: "network-only" }).toPromise();
    if (now.data && now.data.viewer.sessionId !== viewer?.sessionId) location.reload();
  };
  document.addEventListener("visibilitychange", () => void look());
  addEventListener("pageshow", (event) => {
    if (!event.persisted) return;
    if (over) leadToSignIn("");
    else void look();
  });
}
