// The one connection: lost, silent, asleep, or to a server that has become another. No page is ever loaded anew, but for another session.
import assert from "node:assert/strict";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { kill, launchBrowser, openPage, row, rowShows, Uws, until } from "./harness.mjs";

let uws, browser, page;
before(async () => {
  [uws, browser] = await Promise.all([Uws.start(), launchBrowser()]);
  await uws.launch("QUEUE", "orders");
  await uws.launch("BUCKET", "photos");
  page = await openPage(browser, uws.url, "/services");
  page.serverGoesAway();
  await rowShows(page, "orders", "Healthy");
  await page.evaluate(() => {
    window.notReloaded = true;
  });
});
after(async () => {
  await browser?.close();
  await uws?.clear();
});

const socketIs = (state) => page.locator(`[data-socket=${state}]:visible`).waitFor();
const banner = () => page.getByText("Reconnecting: what you see may be old.");
const healed = async () => {
  await socketIs("live");
  await banner().waitFor({ state: "detached" });
  assert.equal(await page.evaluate(() => window.notReloaded), true, "the page was loaded anew");
};

test("a server that restarts is found again, with what changed while it was away", async () => {
  await socketIs("live");
  await uws.stop();
  await socketIs("offline");
  await banner().waitFor();
  await row(page, "orders").waitFor(); // what was known stays on the screen
  const port = uws.port;
  // Changed by somebody who reaches the server before we do.
  uws.port = undefined;
  const elsewhere = await Uws.start({ dir: uws.dir });
  await elsewhere.launch("QUEUE", "meanwhile");
  await elsewhere.stop();
  uws.port = port;
  await uws.run();
  await healed();
  await rowShows(page, "meanwhile", "Healthy");
});

test("a connection that has gone silent is noticed and replaced", async () => {
  kill(uws.process.pid, "SIGSTOP");
  // As when a laptop wakes: the page asks at once instead of waiting for the next ping.
  await page.evaluate(() => dispatchEvent(new Event("online")));
  await socketIs("offline");
  kill(uws.process.pid, "SIGCONT");
  await healed();
});

test("pings alone notice a silent connection", async () => {
  kill(uws.process.pid, "SIGSTOP");
  await socketIs("offline");
  kill(uws.process.pid, "SIGCONT");
  await healed();
});

test("a tab that slept while the server restarted and services changed wakes up right", async () => {
  const { services } = await uws.gql('{ services(filter: {nameContains: "meanwhile"}) { nodes { id } } }');
  const cdp = await page.context().newCDPSession(page);
  await cdp.send("Page.setWebLifecycleState", { state: "frozen" });
  await uws.gql("mutation ($id: ID!) { removeService(id: $id, data: DELETE) { id } }", { id: services.nodes[0].id });
  await uws.stop();
  await uws.run();
  await uws.launch("BUCKET", "asleep");
  await cdp.send("Page.setWebLifecycleState", { state: "active" });
  await rowShows(page, "asleep", "Healthy");
  await row(page, "meanwhile").waitFor({ state: "detached" });
  await healed();
});

test("a server with a fresh store replaces all that was shown", async () => {
  await uws.stop();
  for (const pid of uws.engines()) kill(pid);
  await until("the engines are gone", () => uws.engines().length === 0);
  rmSync(join(uws.dir, "data"), { recursive: true });
  await uws.run();
  // Nobody is signed in to it yet, and what was shown is gone at once.
  page.sessionEnds();
  await page.getByRole("heading", { name: "Sign in" }).waitFor();
  assert.equal(await row(page, "orders").count(), 0);
  await uws.makeTokens();
  await page.getByLabel("Login link or token").fill(uws.tokens.ADMIN);
  await page.keyboard.press("Enter");
  await page.waitForURL("**/services"); // where one was
  await page.getByRole("heading", { name: "Nothing is running yet" }).waitFor();
  await socketIs("live");
  await uws.launch("QUEUE", "anew");
  await rowShows(page, "anew", "Healthy");
});

test("nothing but the server's absence was complained about", async () => {
  await page.done();
});
