// The stock graphql-ws client through every kind of operation, and its WebSocket through what the client never does.
//
//   node protocol.mjs ws://127.0.0.1:8080/graphql
//
// Prints one JSON line for each.
import { createClient } from "graphql-ws";
import WebSocket from "ws";

const url = process.argv[2];
const print = (line) => process.stdout.write(JSON.stringify(line) + "\n");
const connect = () => createClient({ url, webSocketImpl: WebSocket, retryAttempts: 0, keepAlive: 50 });

// first is the first result of an operation, on a connection of its own; an error message throws its list of errors.
async function first(query) {
  const client = connect();
  try {
    return await new Promise((next, error) => client.subscribe({ query }, { next, error, complete() {} }));
  } finally {
    await client.dispose();
  }
}
const codeOf = (errors) => errors?.[0]?.extensions?.code ?? String(errors);

print({ query: await first('{ node(id: "n2") { name } }') });
print({ mutation: await first('mutation { startService(id: "s1") { id } }') });
print({ invalid: await first("{ nothing }").catch(codeOf) });
const failed = await first('mutation { startService(id: "no") { id } }');
print({ failed: { data: failed.data, code: codeOf(failed.errors) } });
print({ refused: await first('subscription { serviceHealthChanged(serviceId: "no") { serviceId } }').catch(codeOf) });
print({ subscription: await first("subscription { serviceHealthChanged { serviceId } }") });

const client = connect();
const pong = new Promise((resolve) => client.on("pong", () => resolve(true)));
client.subscribe({ query: "subscription { serviceHealthChanged { id } }" }, { next() {}, error() {}, complete() {} });
print({ pong: await pong });
await client.dispose();

// closed is the code with which the server answers messages.
const closed = (...messages) =>
  new Promise((resolve) => {
    const socket = new WebSocket(url, "graphql-transport-ws");
    socket.on("open", () => messages.forEach((m) => socket.send(typeof m === "string" ? m : JSON.stringify(m))));
    socket.on("close", resolve);
  });
const init = { type: "connection_init" };
const subscribe = { id: "1", type: "subscribe", payload: { query: "subscription { serviceHealthChanged { name } }" } };
print({ unauthorized: await closed(subscribe) });
print({ again: await closed(init, init) });
print({ duplicate: await closed(init, subscribe, subscribe) });
print({ bad: await closed("not JSON") });
print({
  subprotocol: await new Promise((resolve) => {
    const socket = new WebSocket(url, "graphql-ws");
    socket.on("unexpected-response", (_, response) => {
      resolve(response.statusCode);
      socket.terminate();
    });
    socket.on("error", () => {});
  }),
});
