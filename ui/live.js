// A small client of graphql-transport-ws: it keeps one subscription alive and reconnects for ever.

const PROTOCOL = "graphql-transport-ws";

/**
 * Subscribes and stays subscribed.
 * @param {string} query the subscription
 * @param {{connected: () => void, message: (data: object) => void, lost: () => void}} on
 *   connected is called whenever the subscription stands (anew): what was missed must be read afresh
 */
export function subscribe(query, on) {
  const scheme = location.protocol === "https:" ? "wss:" : "ws:";
  let attempt = 0;

  const connect = () => {
    const socket = new WebSocket(`${scheme}//${location.host}/graphql`, PROTOCOL);
    const send = (message) => socket.send(JSON.stringify(message));
    let over = false;

    const receive = {
      connection_ack: () => {
        attempt = 0;
        send({ id: "1", type: "subscribe", payload: { query } });
        on.connected();
      },
      ping: () => send({ type: "pong" }),
      next: (message) => {
        if (message.payload.data) on.message(message.payload.data);
        else socket.close(1000);
      },
      error: () => socket.close(1000),
      complete: () => socket.close(1000),
    };

    socket.onopen = () => send({ type: "connection_init" });
    socket.onmessage = (event) => {
      const message = JSON.parse(event.data);
      receive[message.type]?.(message);
    };
    socket.onclose = () => {
      if (over) return;
      over = true;
      on.lost();
      const delay = Math.min(10_000, 500 * 2 ** attempt++);
      setTimeout(connect, delay * (0.75 + Math.random() / 2));
    };
  };
  connect();
}

/** Runs a query or mutation and answers with its data, or throws an Error with the server's words. */
export async function run(query, variables = {}) {
  const response = await fetch("/graphql", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ query, variables }),
  });
  const answer = await response.json();
  if (answer.errors?.length) throw new Error(answer.errors[0].message);
  return answer.data;
}
