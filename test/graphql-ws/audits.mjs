// GraphQL over HTTP as its working group audits it: runs the npm package graphql-http's server audits.
//
//   node audits.mjs http://127.0.0.1:8080/graphql
//
// The lines: {"id": …, "name": "MUST …", "status": "ok"|"notice"|"warn"|"error", "reason": …}. A MUST that is not kept
// is an error, a SHOULD a warning, a MAY a notice.
import { serverAudits } from "graphql-http";

const url = process.argv[2];
if (!url) {
  console.error("usage: node audits.mjs http://127.0.0.1:8080/graphql");
  process.exit(2);
}
for (const audit of serverAudits({ url, fetchFn: fetch })) {
  const { id, name, status, reason } = await audit.fn();
  process.stdout.write(JSON.stringify({ id, name, status, reason }) + "\n");
}
