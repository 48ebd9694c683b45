import { drop, oneOf, type Raw, text } from "../../lib/search";
import type { LogLevel } from "./documents";

/** What the Logs tab keeps in the address. */
export interface LogSearch {
  contains?: string | undefined;
  level?: LogLevel | undefined;
  run?: string | undefined;
  /** The log takes the place of the list beside it. */
  wide?: "1" | undefined;
}

export const filterLevels = ["WARNING", "ERROR"] as const satisfies LogLevel[];

export function logSearch(raw: Raw): LogSearch {
  return drop({
    contains: text(raw.contains),
    level: oneOf(filterLevels, raw.level),
    run: text(raw.run),
    wide: raw.wide === "1" ? "1" : undefined,
  });
}
