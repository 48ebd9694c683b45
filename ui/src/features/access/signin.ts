/** The secret in what somebody pasted: a login link, what it has after "#", or a token; empty when there is none. */
export function secretOf(text: string): string {
  const after = text.slice(text.lastIndexOf("#") + 1).trim();
  return /^[\x21-\x7e]+$/.test(after) && !/^https?:/.test(after) ? after : "";
}

export const storageForbidden =
  "Your browser blocks storage for this address, so you cannot stay signed in. Allow storage, then use a new link.";

/** Why signing in failed, for people. `status` is 0 when no answer came; `message` is the server's own. */
export function failureOf(status: number, message: string): string {
  if (status === 0) return "The server did not answer. Is uws still running?";
  if (status === 429) return "Too many attempts. Wait half a minute, then try again.";
  if (status >= 500 || !message) return "The server could not check it. See the server's log.";
  return message.charAt(0).toUpperCase() + message.slice(1).replaceAll("`", "");
}
