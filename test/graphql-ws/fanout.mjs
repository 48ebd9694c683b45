// graphql-ws on Node with one subscription of eight scalar fields: a peer of bench/fanout, which says on its standard
// output where it listens for WebSockets and for lines of control.
import net from "node:net";
import { buildSchema } from "graphql";
import { useServer } from "graphql-ws/use/ws";
import { WebSocketServer } from "ws";

const schema = buildSchema(`
  type Query { nothing: String }
  type Change { cursor: String! id: ID! name: String! kind: String! phase: String health: String! reason: String! restarts: Int! }
  type Subscription { serviceHealthChanged: Change! }
`);

const waiting = new Set();
async function* events() {
  const queue = [];
  let wake = () => {};
  const push = (event) => (queue.push(event), wake());
  waiting.add(push);
  try {
    for (;;) {
      if (queue.length === 0) await new Promise((resolve) => (wake = resolve));
      else yield { serviceHealthChanged: queue.shift() };
    }
  } finally {
    waiting.delete(push);
  }
}

let last = 0;
function fire(n) {
  for (let i = 0; i < n; i++) {
    const event = {
      cursor: "AAAAAAAAAAEAAAAAAAAABw", id: String(++last), name: "photos", kind: "BUCKET", phase: "RUNNING", health: "HEALTHY",
      reason: "listed the buckets", restarts: 3,
    };
    for (const push of waiting) push(event);
  }
}

const server = new WebSocketServer({ port: 0, host: "127.0.0.1", path: "/graphql" });
useServer({ schema, roots: { subscription: { serviceHealthChanged: events } } }, server, 0);
const control = net.createServer((socket) => {
  let rest = "";
  socket.on("data", (data) => {
    const lines = (rest + data).split("\n");
    rest = lines.pop();
    for (const line of lines) {
      const [word, n] = line.split(" ");
      if (word === "fire") fire(Number(n));
      socket.write(word === "mallocs" ? "0\n" : "ok\n");
    }
  });
});
control.listen(0, "127.0.0.1", () => console.log(`127.0.0.1:${server.address().port} 127.0.0.1:${control.address().port}`));
