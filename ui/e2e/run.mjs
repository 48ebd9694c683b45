// Runs the browser tests or, with --screenshots, makes the pictures in docs/. As root, without any network but loopback:
// that proves that nothing is loaded from elsewhere, and no interface that comes or goes makes Chromium drop connections.
import { spawnSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { join } from "node:path";

const here = import.meta.dirname;
const [option, ...names] = process.argv.slice(2);
const all = readdirSync(here)
  .filter((name) => name.endsWith(".test.mjs"))
  .map((name) => join(here, name));
const script =
  option === "--screenshots"
    ? [join(here, "screenshots.mjs")]
    : [
        "--test",
        "--test-concurrency=1",
        "--test-timeout=600000",
        "--test-reporter=spec",
        ...(option ? [option, ...names] : all),
      ];
const namespace = spawnSync("unshare", ["--net", "true"]).status === 0;
if (!namespace)
  console.warn("Without a network namespace of their own: only root may make one. Requests are checked all the same.");
const command = namespace
  ? ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh", process.execPath, ...script]
  : [process.execPath, ...script];
process.exit(spawnSync(command[0], command.slice(1), { stdio: "inherit" }).status ?? 1);
