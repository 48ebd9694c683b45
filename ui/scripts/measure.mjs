// Measures the dashboard and prints the numbers beside what they should be: how much it loads, how long a change takes
// from the server's socket to the screen, and how busy the main thread is with thousands of services.
import { spawnSync } from "node:child_process";
import { availableParallelism, loadavg } from "node:os";
import { join } from "node:path";
import { launchBrowser, until } from "../e2e/harness.mjs";
import { change, startFake } from "./fake-server.mjs";

const at = (sorted, share) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];
const pick = (list) => list[Math.floor(Math.random() * list.length)];

/** Milliseconds from sending a change of a row in sight until its text is in the DOM, measured by one clock. */
export async function eventToDom(browser, { rows = 1_000, samples = 200 } = {}) {
  const fake = await startFake(rows);
  const page = await browser.newPage({ baseURL: fake.url, viewport: { width: 1440, height: 900 } });
  await page.goto("/services");
  await page.locator("[data-row]").first().waitFor();
  // The row says when it was sent: its count of restarts is a number of ours, looked up here.
  await page.evaluate(() => {
    window.arrived = {};
    new MutationObserver(() => {
      const now = performance.timeOrigin + performance.now();
      for (const cell of document.querySelectorAll("[data-row=s3] .col-restarts"))
        window.arrived[cell.textContent] ??= now;
    }).observe(document.body, { subtree: true, childList: true, characterData: true });
  });
  const sent = {};
  for (let i = 1; i <= samples; i++) {
    // With others, as it would be: the row in question, and four elsewhere.
    const service = fake.services[3];
    service.restarts = i;
    sent[i] = performance.timeOrigin + performance.now();
    fake.tell([service, ...Array.from({ length: 4 }, () => change(pick(fake.services.slice(100))))]);
    await new Promise((done) => setTimeout(done, 25));
  }
  await until("the last change is seen", () => page.evaluate((n) => window.arrived[n] !== undefined, samples));
  const arrived = await page.evaluate(() => window.arrived);
  await page.close();
  await fake.close();
  const times = Object.keys(arrived)
    .filter((n) => sent[n])
    .map((n) => arrived[n] - sent[n])
    .sort((a, b) => a - b);
  return { p50: at(times, 0.5), p95: at(times, 0.95), seen: times.length, samples };
}

/**
 * Share of the time in which the main thread works, with batches of 30 changes ten times a second: by the processor's time
 * and by the clock, which counts too what others took of the processor meanwhile.
 */
export async function mainThread(browser, { rows = 5_000, perSecond = 300, seconds = 10, path = "/services" } = {}) {
  const fake = await startFake(rows);
  const page = await browser.newPage({ baseURL: fake.url, viewport: { width: 1440, height: 900 } });
  await page.goto(path);
  await page.locator("[data-row], [data-mark]").first().waitFor();
  const timer = setInterval(() => {
    fake.tell(Array.from({ length: perSecond / 10 }, () => change(pick(fake.services))));
  }, 100);
  await new Promise((done) => setTimeout(done, 1_000)); // the first moments are warm-up
  const share = await busyShare(page, seconds);
  clearInterval(timer);
  await page.close();
  await fake.close();
  return share;
}

/** Share of the time in which a page's main thread works, while something is done or for some seconds. */
export async function busyShare(page, seconds, act = () => new Promise((done) => setTimeout(done, seconds * 1_000))) {
  const cdp = await page.context().newCDPSession(page);
  await cdp.send("Performance.enable", { timeDomain: "timeTicks" });
  const task = async () => {
    const { metrics } = await cdp.send("Performance.getMetrics");
    const value = (name) => metrics.find((m) => m.name === name).value;
    return { at: value("Timestamp"), busy: value("TaskDuration"), cpu: value("ThreadTime") };
  };
  const before = await task();
  await act();
  const after = await task();
  await cdp.detach();
  const elapsed = after.at - before.at;
  return { cpu: (after.cpu - before.cpu) / elapsed, wall: (after.busy - before.busy) / elapsed };
}

if (process.argv[1] === import.meta.filename) {
  const percent = (share) => `${(share * 100).toFixed(1)} %`;
  const line = (what, is, shall) => console.log(`${what.padEnd(58)} ${is.padStart(28)}   (${shall})`);
  const budget = spawnSync(process.execPath, [join(import.meta.dirname, "budget.mjs")], { encoding: "utf8" });
  line("initial load, gzip", budget.stdout.trim().split("\n").at(-1).trim().split(" of ")[0], "at most 160 KB");
  const browser = await launchBrowser();
  const { p50, p95, seen, samples } = await eventToDom(browser);
  line(
    `event to DOM, 1,000 rows, ${seen} of ${samples} seen one by one`,
    `p50 ${p50.toFixed(1)} ms, p95 ${p95.toFixed(1)} ms`,
    "p50 20 ms, p95 50 ms",
  );
  for (const [name, path] of [
    ["all services, by name", "/services"],
    ["unhealthy ones, by status", "/services?status=unhealthy&sort=status"],
    ["overview", "/"],
  ]) {
    const { cpu, wall } = await mainThread(browser, { path });
    line(
      `main thread, 5,000 rows, 300 events/s, ${name}`,
      `${percent(cpu)}, by the clock ${percent(wall)}`,
      "at most 15 %",
    );
  }
  await browser.close();
  console.log(`load of the machine: ${loadavg()[0].toFixed(1)} on ${availableParallelism()} cores`);
}
