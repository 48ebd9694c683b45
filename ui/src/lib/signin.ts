/** The secret in what somebody pasted: a login link, what it has after "#", or a token; empty when there is none. */
export function secretOf(text: string): string {
  const after = text.slice(text.lastIndexOf("#") + 1).trim();
  return /^[\x21-\x7e]+$/.test(after) && !/^https?:/.test(after) ? after : "";
}

/** Why signing in failed, for people. `status` is 0 when no answer came; `message` is the server's own. */
export function failureOf(status: number, message: string): string {
  if (status === 0) return "The server did not answer. Is uws still running?";
  if (status === 429) return "There were too many tries from here. Wait half a minute, then try again.";
  if (status >= 500 || !message) return "The server could not check it. Its log says why.";
  return message.charAt(0).toUpperCase() + message.slice(1).replaceAll("`", "");
}
