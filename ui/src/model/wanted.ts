import { sessionKey } from "../graphql/sessionkey";

/** Why somebody is led to the sign-in page. */
export type Why = "" | "ended" | "out";

// In this tab alone, and kept while a login link is opened in it.
const keys = { place: "uws-wanted", why: "uws-why", refused: "uws-refused" };

/** Where to go once signed in: an address of ours, whatever else was written there. */
export function placeOf(text: string | null): string {
  return text && /^\/(?![/\\])/.test(text) && !/^\/sign-in(?![^?#/])/.test(text) ? text : "/";
}

const none = "-"; // no key was sent

function store(key: string, value: string) {
  try {
    if (value) sessionStorage.setItem(key, value);
    else sessionStorage.removeItem(key);
  } catch {
    // Storage is forbidden: the overview it is, without a word on why.
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
 * Leaves for the sign-in page. It is another document, so that nothing that was shown or cached here is kept. After
 * signing out, the next sign-in leads to the overview, otherwise to the page that was left. `refused` is the session key that the server
 * does not accept any more.
 */
export function leadToSignIn(why: Why, refused = "") {
  store(keys.place, why === "out" ? "" : location.pathname + location.search);
  store(keys.why, why);
  store(keys.refused, why === "out" ? "" : refused || none);
  location.replace("/sign-in");
}

/** Reports whether somebody has signed in in another tab since this one was led here. */
export function signedInMeanwhile(): boolean {
  const refused = load(keys.refused); // empty for who came by themselves, and may want to be somebody else
  return refused !== "" && sessionKey() !== "" && sessionKey() !== refused;
}

export const whyHere = () => load(keys.why) as Why;

/** Goes to where one wanted to be. */
export function goOn() {
  const place = placeOf(load(keys.place));
  store(keys.place, "");
  store(keys.why, "");
  store(keys.refused, "");
  location.replace(place);
}
