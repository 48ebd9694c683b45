// Adds up what the browser loads before the first page of the dashboard stands, compressed, and fails when it is too much.
import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";

const budget = 160 * 1024; // bytes
const dist = join(import.meta.dirname, "../dist");
const page = readFileSync(join(dist, "index.html"), "utf8");
const files = ["/index.html", ...[...page.matchAll(/(?:src|href)="(\/[^"]+)"/g)].map((m) => m[1])];
let total = 0;
for (const file of files) {
  const bytes = statSync(join(dist, `${file}.gz`)).size;
  total += bytes;
  console.log(`${(bytes / 1024).toFixed(1).padStart(7)} KB  ${file}`);
}
console.log(`${(total / 1024).toFixed(1).padStart(7)} KB  of ${budget / 1024} KB at most, gzip`);
if (/https?:\/\/|<script>|<style/.test(page)) {
  console.error("index.html has inline code or an address elsewhere.");
  process.exit(1);
}
if (total > budget) {
  console.error("The initial load is over its budget: load what is not needed at first later.");
  process.exit(1);
}
