import type { Kind } from "../graphql/documents";

export type { Kind };

export const kinds: readonly Kind[] = ["BUCKET", "DB", "NOSQL", "QUEUE", "SECRETS"];

/** The pages with a list of services, by the first part of their address. */
export const lists = {
  services: { kind: undefined, title: "All services" },
  buckets: { kind: "BUCKET", title: "Buckets" },
  databases: { kind: "DB", title: "Databases" },
  nosql: { kind: "NOSQL", title: "NoSQL" },
  queues: { kind: "QUEUE", title: "Queues" },
  secrets: { kind: "SECRETS", title: "Secrets" },
} as const satisfies Record<string, { kind: Kind | undefined; title: string }>;

export type ListPath = keyof typeof lists;

export const pathOf: Record<Kind, ListPath> = {
  BUCKET: "buckets",
  DB: "databases",
  NOSQL: "nosql",
  QUEUE: "queues",
  SECRETS: "secrets",
};

export const kindNames: Record<Kind, string> = {
  BUCKET: "Bucket",
  DB: "Database",
  NOSQL: "NoSQL",
  QUEUE: "Queue",
  SECRETS: "Secrets",
};

export const kindWhat: Record<Kind, string> = {
  BUCKET: "An S3 endpoint, with keys",
  DB: "A PostgreSQL database",
  NOSQL: "A document database",
  QUEUE: "A message queue with durable streams",
  SECRETS: "A store of secrets",
};
