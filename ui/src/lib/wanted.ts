/** Why somebody is led to the sign-in page. */
export type Why = "" | "ended" | "out";

// In this tab alone, and kept while a login link is opened in it.
const keys = { place: "uws-wanted", why: "uws-why" };

/** Where to go once signed in: an address of ours, whatever else was written there. */
export function placeOf(text: string | null): string {
  return text && /^\/(?![/\\])/.test(text) && !/^\/sign-in(?![^?#/])/.test(text) ? text : "/";
}

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
 * Leaves for the sign-in page. It is another document, so that nothing of what was shown or cached here lives on. Whoever
 * signed out themselves comes back to the overview, others to where they were.
 */
export function leadToSignIn(why: Why) {
  store(keys.place, why === "out" ? "" : location.pathname + location.search);
  store(keys.why, why);
  location.replace("/sign-in");
}

export const whyHere = () => load(keys.why) as Why;

/** Goes to where one wanted to be. */
export function goOn() {
  const place = placeOf(load(keys.place));
  store(keys.place, "");
  store(keys.why, "");
  location.replace(place);
}
