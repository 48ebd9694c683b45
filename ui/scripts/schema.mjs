// Writes generated/schema.graphql, the server's SDL as one file: what gql.tada reads.
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";

const source = new URL("../../graph/schema/", import.meta.url);
const target = new URL("../generated/", import.meta.url);
mkdirSync(target, { recursive: true });
const files = readdirSync(source)
  .filter((name) => name.endsWith(".graphqls"))
  .sort();
writeFileSync(
  new URL("schema.graphql", target),
  files.map((name) => readFileSync(new URL(name, source), "utf8")).join("\n"),
);
