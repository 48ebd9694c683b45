import type { AnyRouter } from "@tanstack/react-router";
import type { Kind } from "../graphql/documents";
import { isTyping } from "../lib/focus";
import { dialogs } from "../model/dialogs";
import { type ListPath, lists } from "../model/kinds";
import type { Permission } from "../model/rights";

/** The shortcuts that `?` lists, each with the permission without which it does nothing. */
export const shortcuts: readonly { keys: string[]; what: string; permission?: Permission }[] = [
  { keys: ["/"], what: "Filter the list, or search the log" },
  { keys: ["n"], what: "Launch a new service", permission: "launch" },
  { keys: ["↑", "↓"], what: "Next and previous row (also j and k)" },
  { keys: ["Home", "End"], what: "First and last row" },
  { keys: ["Enter"], what: "Open the service" },
  { keys: ["Delete"], what: "Remove the service", permission: "operate" },
  { keys: ["Esc"], what: "Close the dialog or the service" },
  { keys: ["g", "o"], what: "Go to the overview" },
  { keys: ["g", "s"], what: "Go to all services" },
  { keys: ["g", "n"], what: "Go to the nodes" },
  { keys: ["g", "a"], what: "Go to the activity" },
  { keys: ["g", "b"], what: "Go to the backups" },
  { keys: ["g", "r"], what: "Go to the retained data" },
  { keys: ["?"], what: "Show the keyboard shortcuts" },
];

const places: Record<string, string> = {
  o: "/",
  s: "/services",
  n: "/nodes",
  a: "/activity",
  b: "/backups",
  r: "/retained",
};
const chordWithin = 1_000; // ms between "g" and the letter

function kindOfPage(): Kind | undefined {
  const first = location.pathname.split("/")[1] ?? "";
  return Object.hasOwn(lists, first) ? lists[first as ListPath].kind : undefined;
}

/** Returns the id of the service that a shortcut is about: that of the focused row, else the one that the address selects. */
function serviceOf(target: EventTarget | null): string | undefined {
  const row = target instanceof Element && target.closest<HTMLElement>("[data-row]")?.dataset.row;
  if (row) return row;
  const [, list = "", id] = location.pathname.split("/");
  return Object.hasOwn(lists, list) && id ? decodeURIComponent(id) : undefined;
}

/** Handles the shortcuts that work wherever the focus is. The function it returns removes the handler. */
export function listenForKeys(router: AnyRouter): () => void {
  let chord = Number.NEGATIVE_INFINITY; // when "g" was pressed; the clock begins with the page
  const onKey = (event: KeyboardEvent) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
    if (isTyping(event.target) || dialogs.get() || document.querySelector("[role=menu]")) return;
    const afterG = event.timeStamp - chord < chordWithin;
    chord = Number.NEGATIVE_INFINITY;
    const id = event.key === "Delete" ? serviceOf(event.target) : undefined;
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
    } else if (id) {
      dialogs.open({ type: "remove", id });
    } else if (event.key === "/") {
      const filter =
        document.querySelector<HTMLInputElement>("[data-log-search]") ??
        document.querySelector<HTMLInputElement>("[data-filter]");
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
