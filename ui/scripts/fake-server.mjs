// A server with thousands of services that change hundreds of times a second: what one machine cannot run for real. It speaks
// just enough of the API for the dashboard, with the real pages and the real policy.
import { existsSync, readFileSync } from "node:fs";
import { createServer } from "node:http";
import { extname, join } from "node:path";
import { WebSocketServer } from "ws";
import { FakeLog } from "./fake-log.mjs";
import { FakeUsage } from "./fake-usage.mjs";

const dist = join(import.meta.dirname, "../dist");
const types = { ".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml" };
const policy =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; connect-src 'self'; " +
  "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'";
const kinds = ["BUCKET", "DB", "NOSQL", "QUEUE", "SECRETS"];
const node = {
  id: "n1",
  name: "local",
  driver: "PROCESS",
  endpoint: "process",
  serviceAddress: "127.0.0.1",
  healthy: true,
  reason: "",
  lastSeenAt: null,
  version: null,
  cpus: null,
  memoryBytes: null,
  diskFreeBytes: null,
  diskTotalBytes: null,
  diskLow: false,
  labels: [],
  engineLabels: [],
  draining: false,
  unrecognised: [],
  allowedActions: [],
};

function makeService(i) {
  return {
    id: `s${i}`,
    name: `service-${String(i).padStart(5, "0")}`,
    kind: kinds[i % 5],
    template: { name: "made-up", version: "1" },
    node: { id: "n1", name: "local" },
    desiredState: "RUNNING",
    phase: "RUNNING",
    health: i % 25 === 7 ? "UNHEALTHY" : "HEALTHY",
    healthy: i % 25 !== 7,
    reason: "it answers",
    logLine: null,
    endpoint: `http://127.0.0.1:${20_000 + i}`,
    restarts: 0,
    nextRestartAt: null,
    lastHealthCheckAt: "2026-01-01T00:00:00Z",
    createdAt: new Date(Date.UTC(2026, 0, 1) + i * 60_000).toISOString(),
    progress: null,
    limits: null,
    image: null,
    labels: [],
    nodeLabels: [],
    rotating: false,
    heldBack: null,
    allowedActions: ["STOP", "RESTART", "CHECK", "REVEAL_CREDENTIALS", "ROTATE_CREDENTIALS", "REMOVE", "DELETE_DATA"],
  };
}

const answers = {
  Viewer: { viewer: { name: "owner", role: "ADMIN", kinds: [], sessionId: "s1", expiresAt: null } },
  Events: { events: { nodes: [], pageInfo: { hasNextPage: false, endCursor: null } } },
  Nodes: { nodes: [node] },
  Templates: { templates: [] },
  Retained: { retainedData: [] },
  Service: { service: null },
  InstallationState: { installation: { readOnlyReason: null } },
};

const backupOf = ({ id }) =>
  id.endsWith("13")
    ? { state: "LATE", reason: "the backup that was due 9 hours ago is missing" }
    : { state: "OK", reason: "backed up" };

export async function startFake(count) {
  const services = Array.from({ length: count }, (_, i) => makeService(i));
  const log = new FakeLog(); // of all services
  const usage = new FakeUsage();
  const events = []; // of all services, newest first
  const page = (nodes) => ({ nodes, pageInfo: { hasNextPage: false, endCursor: null } });
  const answer = (name, v) => {
    switch (name) {
      case "ServiceLogs":
        return { serviceLogs: log.page(v) };
      case "Events":
        return { events: page(events.filter((e) => !v.filter?.serviceId || e.serviceId === v.filter.serviceId)) };
      case "LogTails":
        return { events: page(events.filter((e) => e.serviceId === v.id)) };
      case "ServiceUse":
        return { service: { id: v.id, usage: usage.now(v.id), engineStats: usage.stats(v.id) } };
      case "ServiceUseHistory":
        return { service: { id: v.id, usageHistory: usage.history(v.id, v.range, v.points) } };
      case "NodeUseHistory":
        return { node: { id: v.id, usageHistory: usage.history("s3", v.range, v.points) } };
      case "UseOfMany":
        return { usageHistory: usage.many(v) };
      case "ServiceUptime":
        return { service: { id: v.id, uptime: usage.uptime(v.range) } };
      case "NodesUse":
        return { nodes: [{ id: node.id, usage: usage.node(services.length) }] };
      case "UseOnNode":
        return {
          services: page(
            services.slice(0, 200).map((s) => ({ id: s.id, name: s.name, kind: s.kind, usage: usage.now(s.id) })),
          ),
        };
      case "Warnings": {
        const warned = services.filter((s) => usage.warnings.has(s.id));
        return {
          services: {
            totalCount: warned.length,
            nodes: warned.map((s) => ({ id: s.id, warnings: usage.warnings.get(s.id) })),
          },
          nodes: [{ id: node.id, warnings: usage.warnings.get(node.id) ?? [] }],
        };
      }
      case "BackupStates": {
        const from = v.after ? Number(v.after) : 0;
        const nodes = services.slice(from, from + 1_000).map((s) => ({ id: s.id, backup: backupOf(s) }));
        const more = from + 1_000 < services.length;
        return {
          services: { nodes, pageInfo: { hasNextPage: more, endCursor: more ? String(from + 1_000) : null } },
          backupTargets: [{ id: "t1", name: "disk", reachable: true, recoveryKitTakenAt: "2026-01-01T00:00:00Z" }],
        };
      }
      default:
        return answers[name];
    }
  };
  const server = createServer((request, response) => {
    if (request.method === "POST") {
      let body = "";
      request.on("data", (part) => {
        body += part;
      });
      request.on("end", () => {
        const { query, variables } = JSON.parse(body);
        const name = /(?:query|mutation) (\w+)/.exec(query)?.[1];
        response.setHeader("Content-Type", "application/json");
        response.end(JSON.stringify({ data: answer(name, variables) }));
      });
      return;
    }
    const path = new URL(request.url, "http://x").pathname;
    const file = extname(path) ? join(dist, path) : join(dist, "index.html");
    if (!existsSync(file)) {
      response.statusCode = 404;
      response.end();
      return;
    }
    response.setHeader("Content-Security-Policy", policy);
    response.setHeader("Content-Type", types[extname(file)] ?? "application/octet-stream");
    response.end(readFileSync(file));
  });
  const sockets = new WebSocketServer({ server, path: "/graphql", handleProtocols: () => "graphql-transport-ws" });
  const subscribers = new Set();
  const message = (more) => ({
    kind: "BATCH",
    complete: true,
    cursor: "c",
    services: [],
    nodes: [],
    deletedServices: [],
    deletedNodes: [],
    ...more,
  });
  const send = (socket, id, changes) =>
    socket.send(JSON.stringify({ id, type: "next", payload: { data: { changes } } }));
  sockets.on("connection", (socket) => {
    socket.on("message", (text) => {
      const { id, type, payload } = JSON.parse(text);
      if (type === "connection_init") socket.send('{"type":"connection_ack"}');
      if (type === "ping") socket.send('{"type":"pong"}');
      if (type === "complete") {
        log.unfollow(socket, id);
        usage.unfollow(socket, id);
      }
      if (type !== "subscribe") return;
      if (payload.query.includes("serviceLogs")) {
        log.follow(socket, id, payload.variables.since);
        return;
      }
      if (payload.query.includes("UseFeed")) {
        usage.follow(socket, id, payload.variables.ids);
        return;
      }
      for (let i = 0; i < services.length; i += 200) {
        const complete = i + 200 >= services.length;
        send(
          socket,
          id,
          message({ kind: "SNAPSHOT", complete, services: services.slice(i, i + 200), nodes: i ? [] : [node] }),
        );
      }
      subscribers.add({ socket, id });
    });
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    services,
    log,
    usage,
    events,
    /** Breaks all connections; the page makes another. */
    disconnect() {
      for (const socket of sockets.clients) socket.terminate();
    },
    /** Tells of services as they are now. */
    tell(changed) {
      for (const { socket, id } of subscribers) send(socket, id, message({ services: changed }));
    },
    close() {
      sockets.close();
      for (const socket of sockets.clients) socket.terminate();
      server.closeAllConnections();
      return new Promise((done) => server.close(done));
    },
  };
}

/** Another state for a service: now and then its health, more often its count of restarts. */
export function change(service) {
  service.restarts++;
  if (Math.random() < 0.3) {
    service.health = service.health === "HEALTHY" ? "UNHEALTHY" : "HEALTHY";
    service.healthy = service.health === "HEALTHY";
  }
  return service;
}
