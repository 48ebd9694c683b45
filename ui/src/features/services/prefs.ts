import { stored } from "../../lib/stored";

/** What the list shows. */
export const listPrefs = stored("uws-list", { use: true });
