import type { Kind } from "../../graphql/documents";

const first = [
  "amber",
  "brisk",
  "calm",
  "clear",
  "coral",
  "dawn",
  "fern",
  "gold",
  "hazel",
  "ivory",
  "jade",
  "lunar",
  "maple",
  "misty",
  "noble",
  "ocean",
  "olive",
  "pearl",
  "quiet",
  "rapid",
  "river",
  "sage",
  "solar",
  "spruce",
  "stone",
  "swift",
  "tidal",
  "velvet",
  "violet",
  "wild",
];
const last: Record<Kind, string> = { BUCKET: "bucket", DB: "db", NOSQL: "docs", QUEUE: "queue", SECRETS: "secrets" };

/** A name that is free, easy to say, and tells the kind: "amber-db". */
export function suggestName(kind: Kind, taken: (name: string) => boolean, random = Math.random): string {
  const start = Math.floor(random() * first.length);
  for (let i = 0; i < first.length; i++) {
    const name = `${first[(start + i) % first.length]}-${last[kind]}`;
    if (!taken(name)) return name;
  }
  for (let n = 2; ; n++) {
    const name = `${first[start]}-${last[kind]}-${n}`;
    if (!taken(name)) return name;
  }
}
