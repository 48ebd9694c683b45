// The page's half of the session's secret. The other half is a cookie, which browsers send to every port of the host; this
// half stays with the origin, which includes the port. All tabs share it.
const name = "uws-session-key";

/** The key of the session; empty when there is none. */
export function sessionKey(): string {
  try {
    return localStorage.getItem(name) ?? "";
  } catch {
    return ""; // Storage is forbidden: nobody could sign in either.
  }
}

/** What a request, or a WebSocket's connection_init, must carry besides the cookie. */
export function credentials(key = sessionKey()): Record<string, string> {
  return key ? { "Uws-Session-Key": key } : {};
}

/** Calls then when somebody has signed in in another tab: another session's key has replaced the one of this page. */
export function onNewKey(then: () => void): () => void {
  const look = (event: StorageEvent) => {
    if (event.storageArea === localStorage && event.key === name && event.newValue) then();
  };
  addEventListener("storage", look);
  return () => removeEventListener("storage", look);
}

/** Keeps the key, and reports whether the browser allows that. */
export function keepKey(value: string): boolean {
  try {
    localStorage.setItem(name, value);
    return true;
  } catch {
    return false;
  }
}

export function forgetKey() {
  try {
    localStorage.removeItem(name);
  } catch {
    // Nothing was kept.
  }
}

/** Fetches with the session's key. If the server answers 401, `refused` is called with that key. */
export async function fetchSigned(
  input: RequestInfo | URL,
  init: RequestInit = {},
  refused?: (key: string) => void,
): Promise<Response> {
  const key = sessionKey();
  const headers = new Headers(init.headers);
  for (const [name, value] of Object.entries(credentials(key))) headers.set(name, value);
  const answer = await fetch(input, { ...init, headers });
  if (answer.status === 401) refused?.(key);
  return answer;
}
