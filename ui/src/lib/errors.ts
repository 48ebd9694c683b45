/** An error with a message for people. */
export class ApiError extends Error {
  constructor(
    message: string,
    readonly code: string,
    /** The invalid argument or field, such as "id" or "input.healthCheck.intervalSeconds"; empty if there is none. */
    readonly field: string,
  ) {
    super(message);
    this.name = "ApiError";
  }
}

/** Returns the message of an error, or a text as it is. */
export function wordsOf(error: unknown): string {
  if (typeof error === "string") return error;
  return error instanceof Error ? error.message : "Something went wrong.";
}
