import { stringifyDocument as print } from "@urql/core";
import type { Client } from "graphql-ws";
import { run } from "./client";
import { AllNodes, type Service, ServiceById, ServicesPage } from "./documents";
import { graphql, type ResultOf } from "./graphql";
import { live } from "./live";
import { socketState } from "./socket";

const HealthChanges = graphql(`
  subscription Health($since: String) {
    serviceHealthChanged(since: $since) {
      cursor serviceId nodeName desiredState phase health healthy reason endpoint restarts nextAttemptAt
    }
  }
`);
const Progress = graphql(`
  subscription Progress($id: ID!) { launchProgress(serviceId: $id) { step percent } }
`);
type Message = ResultOf<typeof HealthChanges>["serviceHealthChanged"];

async function snapshot() {
  const services: Service[] = [];
  let after: string | null = null;
  do {
    const page: ResultOf<typeof ServicesPage> = await run(ServicesPage, { after });
    services.push(...page.services.nodes);
    after = page.services.pageInfo.hasNextPage ? page.services.pageInfo.endCursor : null;
  } while (after);
  const { nodes } = await run(AllNodes, {});
  live.apply({ reset: true, services, nodes });
}

/** Fills `live` for as long as the page lives. Called once, outside React. */
export function startFeed(client: Client) {
  let cursor: string | undefined;
  const progressing = new Set<string>();

  const watch = (id: string) => {
    if (progressing.has(id)) return;
    progressing.add(id);
    const done = () => void progressing.delete(id);
    client.subscribe<{ launchProgress: { step: string; percent: number | null } }>(
      { query: print(Progress), variables: { id } },
      {
        next: ({ data }) => {
          const row = live.service(id);
          if (row && data) live.apply({ services: [{ ...row, progress: data.launchProgress }] });
        },
        error: done,
        complete: done,
      },
    );
  };
  const merge = async (m: Message) => {
    if (m.phase === null) return live.apply({ goneServices: [m.serviceId] });
    const row = live.service(m.serviceId);
    if (!row || (m.nodeName && !row.node)) {
      const { service } = await run(ServiceById, { id: m.serviceId });
      if (service) live.apply({ services: [service] });
    } else {
      const { health, healthy, reason, endpoint, restarts } = m;
      const starting = m.phase === "PENDING" || m.phase === "STARTING";
      live.apply({
        services: [
          {
            ...row,
            phase: m.phase,
            desiredState: m.desiredState ?? row.desiredState,
            health,
            healthy,
            reason,
            endpoint,
            restarts,
            nextRestartAt: m.nextAttemptAt,
            progress: starting ? row.progress : null,
          },
        ],
      });
    }
    if (m.phase === "PENDING" || m.phase === "STARTING") watch(m.serviceId);
  };

  const subscribe = () => {
    const again = () => setTimeout(subscribe, 1_000);
    client.subscribe<{ serviceHealthChanged: Message }>(
      {
        query: print(HealthChanges),
        get variables() {
          return { since: cursor };
        },
      },
      {
        next: ({ data }) => {
          if (!data) return;
          cursor = data.serviceHealthChanged.cursor;
          void merge(data.serviceHealthChanged);
        },
        error: () => {
          cursor = undefined;
          again();
        },
        complete: again,
      },
    );
  };
  subscribe();
  client.on("connected", () => void snapshot());
  setInterval(async () => {
    if (socketState.get() !== "live") return;
    const { nodes } = await run(AllNodes, {});
    live.apply({ nodes });
  }, 10_000);
}
