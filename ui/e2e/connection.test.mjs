// The one connection: lost, silent, asleep, or to a server that has become another. No page is ever reloaded, except for another session.
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
const banner = () => page.getByText("Reconnecting. What you see may be out of date.");
const healed = async () => {
  await socketIs("live");
  await banner().waitFor({ state: "detached" });
  assert.equal(await page.evaluate(() => window.notReloaded), true, "the page was reloaded");
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
  page.sessionEnds(); // nobody is signed in to the fresh one yet
  await uws.run();
  // What was shown is gone at once.
  await page.getByRole("heading", { name: "Sign in" }).waitFor();
  assert.equal(await row(page, "orders").count(), 0);
  await uws.makeTokens();
  await page.getByLabel("Login link or token").fill(uws.tokens.ADMIN);
  await page.keyboard.press("Enter");
  await page.waitForURL("**/services"); // where one was
  await page.getByRole("heading", { name: "Nothing is running yet" }).waitFor();
  await socketIs("live");
  await uws.launch("QUEUE", "again");
  await rowShows(page, "again", "Healthy");
});

test("pages that were never visited open while the server is away", async () => {
  const fresh = await openPage(browser, uws.url, "/services");
  fresh.serverGoesAway();
  await fresh.evaluate(() => {
    window.notReloaded = true;
  });
  await fresh.waitForLoadState("networkidle"); // chunks are fetched while nothing else is
  await until("all chunks are there", () =>
    fresh.evaluate(() => performance.getEntriesByType("resource").some((r) => /AuditPage/.test(r.name))),
  );
  await uws.stop("SIGKILL");
  await fresh.getByText("Reconnecting. What you see may be out of date.").waitFor();
  for (const [link, heading] of [
    ["Nodes", "Nodes"],
    ["Activity", "Activity"],
    ["Retained data", "Retained data"],
    ["Audit log", "Audit log"],
  ]) {
    await fresh.getByRole("link", { name: link }).first().click();
    await fresh.getByRole("heading", { name: heading, level: 1 }).waitFor();
  }
  assert.equal(await fresh.evaluate(() => window.notReloaded), true, "the page was reloaded");
  await uws.run();
  await fresh.done();
});

/** React reports what a boundary caught. */
function forgetFailedImports(page) {
  const other = page.faults.filter((fault) => !fault.includes("Failed to fetch dynamically imported module"));
  page.faults.splice(0, page.faults.length, ...other);
}

test("a page that cannot be loaded says so inside the dashboard, and is loaded when one tries again", async () => {
  const broken = await openPage(browser, uws.url, "/sign-in", { as: "ADMIN" });
  broken.serverGoesAway();
  await broken.route("**/assets/NodesPage*", (route) => route.abort("connectionrefused"));
  await broken.goto("/services");
  await broken.getByRole("link", { name: "Nodes" }).first().click();
  const failure = broken.getByRole("alert").filter({ hasText: "could not be loaded" });
  await failure.waitFor();
  await broken.getByRole("navigation", { name: "Pages" }).first().waitFor(); // what surrounds it stays
  await broken.unroute("**/assets/NodesPage*");
  await failure.getByRole("button", { name: "Retry" }).click();
  await broken.getByRole("heading", { name: "Nodes", level: 1 }).waitFor();
  forgetFailedImports(broken);
  await broken.done();
});

test("the list of services is loaded without waiting for the server to say who is signed in", async () => {
  const early = await openPage(browser, uws.url, "/healthz", { as: "ADMIN" });
  const code = early.waitForRequest("**/assets/ServicesPage*");
  await early.route("**/graphql", async (route) => {
    await code; // not one answer before
    await route.continue();
  });
  await early.goto("/services");
  await row(early, "again").waitFor();
  await early.done();
});

test("a list of services that cannot be loaded says so, and is loaded when one tries again", async () => {
  const broken = await openPage(browser, uws.url, "/healthz", { as: "ADMIN" });
  broken.serverGoesAway();
  await broken.route("**/assets/ServicesPage*", (route) => route.abort("connectionrefused"));
  await broken.goto("/services");
  const failure = broken.getByRole("alert").filter({ hasText: "could not be loaded" });
  await failure.waitFor();
  await broken.unroute("**/assets/ServicesPage*");
  await failure.getByRole("button", { name: "Retry" }).click();
  await row(broken, "again").waitFor();
  forgetFailedImports(broken);
  await broken.done();
});

test("after an upgrade of the server a reload is offered", async () => {
  const old = await openPage(browser, uws.url, "/services");
  old.serverGoesAway();
  await old.locator("[data-socket=live]:visible").waitFor();
  await old.route(`${uws.url}/`, (route) => route.fulfill({ body: "<script src=/assets/app-another.js></script>" }));
  await uws.stop();
  await old.locator("[data-socket=offline]:visible").waitFor();
  await uws.run();
  const offer = old.getByRole("status").filter({ hasText: "UWS was updated" });
  await offer.waitFor();
  await old.unroute(`${uws.url}/`);
  await offer.getByRole("button", { name: "Reload" }).click();
  await offer.waitFor({ state: "detached" });
  await old.done();
});

test("nothing but the server's absence was complained about", async () => {
  await page.done();
});
