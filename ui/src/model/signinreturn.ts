import { sessionKey } from "../graphql/sessionkey";

/** Why the browser was redirected to the sign-in page. */
export type SignInReason = "" | "ended" | "out";

// In this tab alone, and kept while a login link is opened in it.
const keys = { path: "uws-return-path", reason: "uws-sign-in-reason", refused: "uws-refused-key" };

/** Returns text if it is a path of this site other than the sign-in page, else "/". */
export function returnPath(text: string | null): string {
  return text && /^\/(?![/\\])/.test(text) && !/^\/sign-in(?![^?#/])/.test(text) ? text : "/";
}

const none = "-"; // no key was sent

function store(key: string, value: string) {
  try {
    if (value) sessionStorage.setItem(key, value);
    else sessionStorage.removeItem(key);
  } catch {
    // Storage is blocked: the sign-in page shows no reason and returns to the overview.
  }
}

function load(key: string): string {
  try {
    return sessionStorage.getItem(key) ?? "";
  } catch {
    return "";
  }
}

/**
 * Redirects to the sign-in page, which is a document of its own: nothing shown or cached here is kept. After signing out
 * the next sign-in returns to the overview, otherwise to the present page. `refused` is the session key that the server no
 * longer accepts.
 */
export function redirectToSignIn(reason: SignInReason, refused = "") {
  store(keys.path, reason === "out" ? "" : location.pathname + location.search);
  store(keys.reason, reason);
  store(keys.refused, reason === "out" ? "" : refused || none);
  location.replace("/sign-in");
}

/** Reports whether another tab has signed in since this one was redirected to the sign-in page. */
export function signedInElsewhere(): boolean {
  const refused = load(keys.refused); // empty without a redirect: the person may want to change the account
  return refused !== "" && sessionKey() !== "" && sessionKey() !== refused;
}

/** Returns why this tab was redirected to the sign-in page. */
export const signInReason = () => load(keys.reason) as SignInReason;

/** Leaves the sign-in page for the page from which it was reached. */
export function returnFromSignIn() {
  const path = returnPath(load(keys.path));
  for (const key of Object.values(keys)) store(key, "");
  location.replace(path);
}
