import { stored } from "../../lib/stored";

/** How lines are shown. */
export const prefs = stored("uws-logs", { wrap: true, times: true });
export type Prefs = ReturnType<typeof prefs.get>;
