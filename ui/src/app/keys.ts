import type { AnyRouter } from "@tanstack/react-router";
import type { Kind } from "../graphql/documents";
import { isTyping } from "../lib/focus";
import { dialogs } from "../model/dialogs";
import { type ListPath, lists } from "../model/kinds";
import type { Deed } from "../model/rights";

/** What `?` shows, with what somebody must be allowed to do for it to be of use. */
export const shortcuts: readonly { keys: string[]; what: string; deed?: Deed }[] = [
  { keys: ["/"], what: "Filter the list" },
  { keys: ["n"], what: "Launch a new service", deed: "launch" },
  { keys: ["↑", "↓"], what: "Next and previous row (also j and k)" },
  { keys: ["Home", "End"], what: "First and last row" },
  { keys: ["Enter"], what: "Open the service" },
  { keys: ["Delete"], what: "Remove the service", deed: "remove" },
  { keys: ["Esc"], what: "Close the dialog or the service" },
  { keys: ["g", "o"], what: "Go to the overview" },
  { keys: ["g", "s"], what: "Go to all services" },
  { keys: ["g", "n"], what: "Go to the nodes" },
  { keys: ["g", "a"], what: "Go to the activity" },
  { keys: ["g", "r"], what: "Go to the retained data" },
  { keys: ["?"], what: "Show the keyboard shortcuts" },
];

const places: Record<string, string> = { o: "/", s: "/services", n: "/nodes", a: "/activity", r: "/retained" };
const chordWithin = 1_000; // ms between "g" and the letter

function kindOfPage(): Kind | undefined {
  const first = location.pathname.split("/")[1] ?? "";
  return Object.hasOwn(lists, first) ? lists[first as ListPath].kind : undefined;
}

/** Listens for the keys that work everywhere. Gives a function that ends it. */
export function listenForKeys(router: AnyRouter): () => void {
  let chord = Number.NEGATIVE_INFINITY; // when "g" was pressed; the clock begins with the page
  const onKey = (event: KeyboardEvent) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
    if (isTyping(event.target) || dialogs.get() || document.querySelector("[role=menu]")) return;
    const afterG = event.timeStamp - chord < chordWithin;
    chord = Number.NEGATIVE_INFINITY;
    const place = places[event.key];
    if (afterG && place) {
      void router.navigate({ to: place });
    } else if (event.key === "g") {
      chord = event.timeStamp;
      return;
    } else if (event.key === "?") {
      dialogs.open({ type: "help" });
    } else if (event.key === "n") {
      dialogs.open({ type: "launch", kind: kindOfPage() });
    } else if (event.key === "/") {
      const filter = document.querySelector<HTMLInputElement>("[data-filter]");
      if (filter) filter.focus();
      else
        void router
          .navigate({ to: "/services" as never })
          .then(() => document.querySelector<HTMLInputElement>("[data-filter]")?.focus());
    } else return;
    event.preventDefault();
  };
  addEventListener("keydown", onKey);
  return () => removeEventListener("keydown", onKey);
}
