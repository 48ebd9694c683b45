import { useNavigate, useSearch } from "@tanstack/react-router";
import { Page } from "../../components/Page";
import type { EventFilter, Kind } from "../../graphql/documents";
import { useNodes } from "../../model/hooks";
import { kindNames, kinds } from "../../model/kinds";
import { myKinds } from "../../model/session";
import { EventList } from "./EventList";
import { useEvents } from "./events";

/** What happened, newest first. */
export function ActivityPage() {
  const search = useSearch({ from: "/activity" });
  const navigate = useNavigate();
  const nodes = useNodes();
  const kind = kinds.find((k) => k === search.kind);
  const filter: EventFilter = {};
  if (kind) filter.kind = [kind];
  if (search.node) filter.nodeId = search.node;
  const events = useEvents(filter);
  const set = (change: { kind?: Kind | undefined; node?: string | undefined }) =>
    void navigate({ to: "/activity", search: (before) => ({ ...before, ...change }) });
  const box = "min-h-9 rounded-md border border-line bg-page px-2.5 text-text hover:border-line-strong";
  return (
    <Page
      title="Activity"
      toolbar={
        <div className="ml-auto flex flex-wrap gap-2.5">
          <select
            aria-label="Kind"
            className={box}
            value={kind ?? ""}
            onChange={(e) => set({ kind: (e.target.value || undefined) as Kind | undefined })}
          >
            <option value="">All kinds</option>
            {myKinds().map((k) => (
              <option key={k} value={k}>
                {kindNames[k]}
              </option>
            ))}
          </select>
          <select
            aria-label="Node"
            className={box}
            value={search.node ?? ""}
            onChange={(e) => set({ node: e.target.value || undefined })}
          >
            <option value="">All nodes</option>
            {nodes.map((n) => (
              <option key={n.id} value={n.id}>
                {n.name}
              </option>
            ))}
          </select>
        </div>
      }
    >
      <div className="mx-auto my-4 max-w-4xl rounded-xl border border-line bg-surface max-sm:mx-3">
        <EventList from={events} empty="Changes of services and nodes appear here." />
      </div>
    </Page>
  );
}
