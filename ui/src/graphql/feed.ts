import { stringifyDocument } from "@urql/core";
import type { Client } from "graphql-ws";
import { type ChangeSet, Changes, type Service, type UwsNode } from "./documents";
import { type Live, live } from "./live";

const again = 1_000; // ms before a subscription is repeated that the server ended

/**
 * Puts messages of `changes` into `live`. A snapshot that comes in parts is kept back until it is whole: until then the old
 * picture stays.
 */
export class Assembler {
  /** Of the newest complete message; what to go on from. */
  cursor: string | undefined;
  private services: Service[] = [];
  private nodes: UwsNode[] = [];

  constructor(private readonly into: Live) {}

  /** Another stream begins: what the last one left unfinished is void. */
  begin() {
    this.services = [];
    this.nodes = [];
  }

  take(m: ChangeSet) {
    if (m.kind === "BATCH") {
      this.into.apply({
        services: m.services,
        nodes: m.nodes,
        goneServices: m.deletedServices,
        goneNodes: m.deletedNodes,
      });
    } else {
      this.services.push(...m.services);
      this.nodes.push(...m.nodes);
      if (m.complete) {
        this.into.apply({ reset: true, services: this.services, nodes: this.nodes });
        this.begin();
      }
    }
    if (m.complete && m.cursor) this.cursor = m.cursor;
  }
}

/**
 * Fills `live` for as long as the page lives. Called once, outside React. After each reconnect the server is told the
 * newest cursor, and answers with what was missed or, if it cannot, with a snapshot.
 */
export function startFeed(client: Client) {
  const assembler = new Assembler(live);
  client.on("connected", () => assembler.begin());
  const subscribe = () => {
    const retry = () => setTimeout(subscribe, again);
    assembler.begin();
    client.subscribe<{ changes: ChangeSet }>(
      {
        query: stringifyDocument(Changes),
        // The client sends the same object after a reconnect: a getter, so that it is the cursor of then.
        get variables() {
          return { since: assembler.cursor };
        },
      },
      {
        next: ({ data }) => {
          if (data) assembler.take(data.changes);
        },
        error: () => {
          assembler.cursor = undefined; // start again with a snapshot
          retry();
        },
        complete: retry,
      },
    );
  };
  subscribe();
}
