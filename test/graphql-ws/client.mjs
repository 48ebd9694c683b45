// The stock graphql-ws client, for tests: subscribes, and prints what happens as one JSON line each.
//
//   node client.mjs '{"url": "ws://127.0.0.1:8080/graphql", "query": "subscription …", "count": 3}'
//
// The argument's fields:
//   url, query   required
//   token        what is sent as Authorization: Bearer
//   variables    the subscription's variables
//   resume       true: `since` is the cursor of the newest message, also after a reconnect
//   count        exit after so many messages
//   until        exit after a message whose root field has all of these values, such as {"health": "HEALTHY"}
//   retryMs      how long to wait before a reconnect; 100 when left out
//
// The lines: {"connected": true}, {"next": <result>}, {"closed": <code>, "reason": <text>}, {"error": <what>},
// {"complete": true}. Exit status: 0 when count or until was reached or the server completed, else 1.
// It reconnects without limit unless the server closed with a code that graphql-ws takes as final.
import { createClient } from "graphql-ws";
import WebSocket from "ws";

const { url, token, query, variables = {}, resume = false, count = Infinity, until, retryMs = 100 } = JSON.parse(
  process.argv[2] ?? "{}",
);
if (!url || !query) {
  console.error("usage: node client.mjs '{\"url\": …, \"query\": …}'");
  process.exit(2);
}

const print = (line) => process.stdout.write(JSON.stringify(line) + "\n");
const root = (result) => Object.values(result.data ?? {})[0] ?? {};
const matches = (message) => until && Object.entries(until).every(([field, want]) => message[field] === want);

const client = createClient({
  url,
  webSocketImpl: WebSocket,
  connectionParams: token && { Authorization: `Bearer ${token}` },
  retryAttempts: Infinity,
  retryWait: () => new Promise((resolve) => setTimeout(resolve, retryMs)),
  shouldRetry: () => true, // also while nothing listens
  on: {
    connected: () => print({ connected: true }),
    closed: (event) => print({ closed: event.code, reason: String(event.reason ?? "") }),
  },
});

// The client serialises the payload at each subscribe, and so calls the getter after each reconnect.
let cursor = variables.since;
const payload = { query, variables: { ...variables } };
if (resume) {
  Object.defineProperty(payload.variables, "since", { enumerable: true, get: () => cursor });
}

let seen = 0;
let done = false;
const unsubscribe = client.subscribe(payload, {
  next(result) {
    if (done) return;
    seen++;
    print({ next: result });
    const message = root(result);
    cursor = message.cursor ?? cursor;
    if (seen >= count || matches(message)) {
      done = true;
      unsubscribe();
      void client.dispose();
    }
  },
  error(err) {
    print({ error: Array.isArray(err) ? err : { code: err?.code, message: String(err?.reason || err?.message || err) } });
    process.exitCode = 1;
  },
  complete() {
    if (!done) print({ complete: true });
  },
});
