// Prints the dashboard's snippets for one service as JSON: node snippets.mjs snippets.ts KIND TEMPLATE ENDPOINT < credentials
import { readFileSync } from "node:fs";
import amaro from "amaro";

const [source, kind, template, endpoint] = process.argv.slice(2);
const { code } = amaro.transformSync(readFileSync(source, "utf8"), { mode: "strip-only" });
const { snippetsOf } = await import(`data:text/javascript,${encodeURIComponent(code)}`);
const values = Object.entries(JSON.parse(readFileSync(0, "utf8"))).map(([name, value]) => ({ name, value }));
const service = { kind, endpoint, template: { name: template, version: "" } };
console.log(JSON.stringify(snippetsOf(service, { endpoint, values, connections: [] })));
