import type { Service, UwsEvent, UwsNode } from "../src/graphql/documents";

export function service(name: string, more: Partial<Service> = {}): Service {
  return {
    id: `s-${name}`,
    name,
    kind: "DB",
    template: { name: "postgres", version: "18.4" },
    node: { id: "n1", name: "local" },
    desiredState: "RUNNING",
    phase: "RUNNING",
    health: "HEALTHY",
    healthy: true,
    reason: "logged in and ran SELECT 1",
    logLine: null,
    endpoint: "postgres://127.0.0.1:20000/postgres",
    restarts: 0,
    nextRestartAt: null,
    lastHealthCheckAt: "2026-11-24T10:00:00Z",
    createdAt: "2026-11-24T09:00:00Z",
    progress: null,
    limits: null,
    image: null,
    labels: [],
    nodeLabels: [],
    rotating: false,
    allowedActions: ["STOP", "RESTART", "CHECK", "REMOVE"],
    ...more,
  };
}

export function node(name: string, more: Partial<UwsNode> = {}): UwsNode {
  return {
    id: `n-${name}`,
    name,
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
    allowedActions: ["UPDATE", "DRAIN"],
    ...more,
  };
}

export function event(id: string, more: Partial<UwsEvent> = {}): UwsEvent {
  return {
    id,
    at: "2026-11-24T10:00:00Z",
    subject: "SERVICE",
    nodeId: "n1",
    nodeName: "local",
    serviceId: "s1",
    serviceName: "orders",
    kind: "QUEUE",
    previousPhase: "STARTING",
    phase: "RUNNING",
    previousHealth: "STARTING",
    health: "HEALTHY",
    healthy: true,
    reason: "healthy",
    reasonCode: null,
    reasonParameters: null,
    probe: null,
    exitCode: null,
    outOfMemory: null,
    logLine: null,
    attempt: 0,
    nextAttemptAt: null,
    causeId: null,
    ...more,
  };
}
