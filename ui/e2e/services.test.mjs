// The life of services as people see it in the browser: launched, used, broken, healed, removed, reattached.
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { kill, launchBrowser, openPage, patience, row, rowShows, toastSays, Uws, until } from "./harness.mjs";

let uws, browser;
before(async () => {
  [uws, browser] = await Promise.all([Uws.start(), launchBrowser()]);
});
after(async () => {
  await browser?.close();
  await uws?.clear();
});

const open = (path, options) => openPage(browser, uws.url, path, options);
/** The tests that follow count what is there. */
async function removeAll(...names) {
  const { services } = await uws.gql("{ services { nodes { id name } } }");
  for (const { id, name } of services.nodes) {
    if (!names.includes(name)) continue;
    await uws.gql("mutation ($id: ID!) { removeService(id: $id, data: DELETE) { id } }", { id });
    await until(`${name} is gone`, async () => (await uws.service(id)) === null);
  }
}
const focusedText = (page) => page.evaluate(() => document.activeElement?.textContent?.trim());

test("an empty installation says what to do, and a launch shows each step until it is healthy", async () => {
  const page = await open("/");
  // On a fast machine a launch is over before it is drawn: the page hears of health once it has shown a step.
  let stepShown;
  const shown = new Promise((done) => {
    stepShown = done;
  });
  await page.routeWebSocket(/graphql/, (socket) => {
    let before = Promise.resolve();
    socket.connectToServer().onMessage((text) => {
      before = before.then(() => text.includes('"HEALTHY"') && shown).then(() => socket.send(text));
    });
  });
  await page.reload();
  await page.getByRole("heading", { name: "Nothing is running yet" }).waitFor();
  await page.keyboard.press("n");
  const dialog = page.getByRole("dialog", { name: "Launch new service" });
  await dialog.getByText("Queue").click();
  const name = dialog.getByLabel("Name", { exact: true });
  assert.match(await name.inputValue(), /^[a-z]+-queue$/, "a name of the kind is suggested");
  await dialog
    .getByRole("region", { name: "Limitations of nats" })
    .getByText("One server: streams have one replica.")
    .waitFor();

  await name.fill("Orders");
  await name.press("Enter");
  await dialog.getByText("Use lowercase letters.").waitFor();
  assert.equal(await name.getAttribute("aria-invalid"), "true");
  const problem = await name.getAttribute("aria-describedby");
  assert.equal(await page.locator(`[id="${problem}"]`).textContent(), "Use lowercase letters.");

  await dialog.getByText("Size", { exact: true }).click();
  await dialog.getByText("Limits need a Docker Engine, and none is registered.").waitFor();

  // The steps are kept as they are drawn.
  await page.evaluate(() => {
    window.steps = { now: new Set(), done: new Set() };
    new MutationObserver(() => {
      for (const step of document.querySelectorAll("[data-step]")) {
        window.steps[step.dataset.step]?.add(step.textContent.replace(/,.*/, ""));
      }
    }).observe(document.body, { subtree: true, childList: true, characterData: true, attributes: true });
  });
  await name.fill("orders");
  await name.press("Enter");
  await dialog.waitFor({ state: "detached" });
  await toastSays(page, "Launching orders");
  await page.waitForURL(/\/queues\/s/);
  await page.locator("[data-step=now]").waitFor();
  stepShown();
  await rowShows(page, "orders", "Healthy");
  await toastSays(page, "orders is healthy");
  const selected = row(page, "orders");
  assert.equal(await selected.getAttribute("aria-current"), "true");
  assert.equal(await selected.getByRole("link").getAttribute("aria-current"), "page");
  const { now, done } = await page.evaluate(() => ({ now: [...window.steps.now], done: [...window.steps.done] }));
  assert.ok(
    now.length > 0 && now.every((s) => ["Placing", "Fetching", "Starting", "Probing"].includes(s)),
    `at: ${now}`,
  );
  assert.deepEqual(done, ["Placing", "Fetching", "Starting", "Probing", "Healthy"]);

  await page.keyboard.press("n");
  await dialog.getByLabel("Name", { exact: true }).fill("orders");
  await dialog.getByText("Bucket").click();
  await dialog.getByRole("button", { name: "Launch service" }).click();
  await dialog.getByText(/"orders" is taken/).waitFor();
  assert.equal(await dialog.getByLabel("Name", { exact: true }).getAttribute("aria-invalid"), "true");
  await page.keyboard.press("Escape");
  await dialog.waitFor({ state: "detached" });
  await page.done();
});

test("a killed engine heals before one's eyes, and the reason is told in words", async () => {
  const id = await uws.launch("BUCKET", "photos");
  const page = await open(`/buckets/${id}`);
  await rowShows(page, "photos", "Healthy");
  await page.evaluate(() => {
    window.notReloaded = true;
    window.seen = new Set();
    new MutationObserver(() => {
      for (const r of document.querySelectorAll("[data-row]")) window.seen.add(r.dataset.group);
    }).observe(document.body, { subtree: true, childList: true, characterData: true, attributes: true });
  });
  for (const pid of uws.engines(id)) kill(pid);
  await row(page, "photos").locator(".col-restarts", { hasText: "1" }).waitFor();
  await rowShows(page, "photos", "Healthy");
  assert.equal(await page.evaluate(() => window.notReloaded), true);
  await page.getByText("1 since launch").waitFor();
  await page.getByRole("tab", { name: "Events" }).click();
  await page
    .getByText(/signal 9/)
    .first()
    .waitFor();
  await page.getByText("Restarted").first().waitFor();
  assert.match(page.url(), /tab=events/);
  await page.done();
});

test("stopped, started, restarted and checked, each with its result", async () => {
  const { services } = await uws.gql('{ services(filter: {nameContains: "orders"}) { nodes { id } } }');
  const page = await open(`/queues/${services.nodes[0].id}`);
  const tools = page.getByRole("toolbar", { name: "Actions for orders" });
  await tools.getByRole("button", { name: "Check now" }).click();
  await toastSays(page, "orders answers");
  await tools.getByRole("button", { name: "Stop", exact: true }).click();
  await toastSays(page, "orders is stopped");
  await rowShows(page, "orders", "Stopped");
  await tools.getByRole("button", { name: "Start", exact: true }).click();
  await toastSays(page, "orders is healthy");
  await rowShows(page, "orders", "Healthy");
  await tools.getByRole("button", { name: "Restart" }).click();
  await toastSays(page, "Restarting orders");
  await until("it is healthy again", async () => {
    const s = await uws.service(services.nodes[0].id);
    return s.phase === "RUNNING" && s.health === "HEALTHY";
  });
  await rowShows(page, "orders", "Healthy");
  await page.done();
});

test("a service's settings tell how it is checked", async () => {
  const id = await uws.launch("SECRETS", "checked");
  const page = await open(`/services/${id}?tab=settings`);
  await page.getByText("every 30 s, timeout 2 s, restarted after 6 failures in a row, 60 s to start").waitFor();
  await page.getByText("none: this engine is checked by reading only").waitFor();
  await page.context().close();
  await removeAll("checked");
});

test("a launch may ask for a port, and what is wrong with it is told beside the field", async () => {
  const page = await open("/databases");
  const launch = page.getByRole("dialog", { name: "Launch new service" });
  const port = launch.getByLabel("Port (sql)");
  const submit = launch.getByRole("button", { name: "Launch service" });
  const problem = (text) => port.locator("xpath=ancestor::fieldset[1]").getByRole("alert").getByText(text);
  const fill = async (name) => {
    await page.getByRole("button", { name: "Launch New Service" }).click();
    await launch.getByLabel("Name", { exact: true }).fill(name);
    await launch.getByText("Port", { exact: true }).click();
  };
  await fill("ported");
  await port.fill("twenty");
  await submit.click();
  await problem("Enter a number.").waitFor();
  await port.fill("80");
  await submit.click();
  await problem("Use 20000 to 29999.").waitFor();
  assert.equal(await port.getAttribute("aria-invalid"), "true");
  assert.ok(await port.evaluate((field) => document.activeElement === field));
  await port.fill("29123");
  await launch.getByText("Health check", { exact: true }).click();
  await launch.getByLabel("Check every (s)").fill("7");
  await submit.click();
  await page.waitForURL(/\/databases\/s/);
  await rowShows(page, "ported", "Healthy");
  await page.getByText("postgres://127.0.0.1:29123/postgres").waitFor();
  await page.getByRole("tab", { name: "Settings" }).click();
  await page.getByText(/^every 7 s, timeout/).waitFor();

  await fill("other");
  await port.fill("29123");
  await submit.click();
  await problem('29123 is used by service "ported" on node local').waitFor();
  // Another kind has no such port: nothing of it is sent.
  await launch.getByText("Queue").click();
  await launch.getByLabel("Port (client)").waitFor();
  await submit.click();
  await page.waitForURL(/\/queues\/s/);
  await rowShows(page, "other", "Healthy");
  await page.done();
  await removeAll("ported", "other");
});

test("labels are edited in the settings, and the list is searched by them", async () => {
  const id = await uws.launch("QUEUE", "labelled");
  await uws.launch("QUEUE", "plain");
  const page = await open("/queues");
  await row(page, "labelled").click();
  await page.getByRole("tab", { name: "Settings" }).click();
  await page.getByRole("button", { name: "Edit labels" }).click();
  const dialog = page.getByRole("dialog", { name: "Labels of labelled" });
  await dialog.getByLabel("Labels").fill("team = shop\n\ntier=1\n");
  await dialog.getByRole("button", { name: "Save" }).click();
  await page.getByText("team=shop").waitFor();
  await page.getByRole("button", { name: "Edit labels" }).click();
  assert.equal(await dialog.getByLabel("Labels").inputValue(), "team=shop\ntier=1");
  await dialog.getByLabel("Labels").fill("team=a b");
  await dialog.getByRole("button", { name: "Save" }).click();
  await dialog.getByText("must be empty, or 1 to 63 of").waitFor();
  await dialog.getByLabel("Labels").fill("team=search");
  await dialog.getByRole("button", { name: "Save" }).click();
  await page.getByText("tier=1").waitFor({ state: "detached" });
  const { service } = await uws.gql("query ($id: ID!) { service(id: $id) { labels { name value } } }", { id });
  assert.deepEqual(service.labels, [{ name: "team", value: "search" }]);
  await page.getByRole("searchbox").fill("team=search");
  await row(page, "plain").waitFor({ state: "detached" });
  await row(page, "labelled").waitFor();
  await page.done();
  await removeAll("labelled", "plain");
});

test("the line of the log that tells why an engine fails is for operators, with a way to copy it", async () => {
  const id = await uws.launch("DB", "ledger");
  const volumes = join(uws.dir, "data/process/volumes");
  const settings = readdirSync(volumes)
    .map((name) => join(volumes, name, "postgresql.auto.conf"))
    .find((file) => existsSync(file));
  const before = readFileSync(settings, "utf8");
  writeFileSync(settings, "shared_preload_libraries = 'nope'\n");
  for (const pid of uws.engines(id)) kill(pid);

  const page = await open(`/databases/${id}`, { as: "OPERATOR" });
  const line = page.locator("[data-log-line]").filter({ hasText: 'could not access file "nope"' });
  await line.first().waitFor();
  await rowShows(page, "ledger", "Crash loop"); // from here on nothing moves by itself for minutes
  await page.getByRole("button", { name: "Copy the line of the log" }).click();
  await until("it is copied", async () =>
    /FATAL.*could not access file "nope"/.test(await page.evaluate(() => navigator.clipboard.readText())),
  );
  await page.getByRole("tab", { name: "Events" }).click();
  await line.first().waitFor();
  await page.goto("/activity");
  await line.first().waitFor();

  const viewer = await open(`/databases/${id}?tab=events`, { as: "VIEWER" });
  await viewer
    .getByRole("tabpanel")
    .getByText(/exited with code 1/)
    .first()
    .waitFor();
  await viewer.getByRole("tab", { name: "Overview" }).click();
  await viewer.getByRole("region", { name: "Health" }).waitFor();
  assert.equal(await viewer.locator("[data-log-line]").count(), 0);
  assert.ok(!(await viewer.content()).includes("nope"));
  await viewer.done();

  writeFileSync(settings, before);
  await page.goto(`/databases/${id}`);
  await page.getByRole("toolbar").getByRole("button", { name: "Restart" }).click();
  await rowShows(page, "ledger", "Healthy");
  await line.first().waitFor({ state: "detached" });
  await page.done();
  await removeAll("ledger");
});

test("while a toast is visible, Esc and the focus work as without it", async () => {
  const { services } = await uws.gql('{ services(filter: {nameContains: "orders"}) { nodes { id } } }');
  const page = await open(`/queues/${services.nodes[0].id}`);
  const tools = page.getByRole("toolbar", { name: "Actions for orders" });
  await tools.getByRole("button", { name: "Check now" }).click();
  await toastSays(page, "orders answers");
  assert.equal(await page.getByRole("dialog").count(), 0, "a toast is no dialog");
  await page.getByRole("link", { name: "Nodes" }).first().click();
  await page.getByRole("heading", { name: "Nodes", level: 1 }).and(page.locator(":focus")).waitFor();
  await page.goBack();
  await tools.getByRole("button", { name: "Check now" }).click();
  await toastSays(page, "orders answers");
  await page.keyboard.press("Escape");
  await page.waitForURL("**/queues");
  await row(page, "orders").getByRole("link", { name: "orders" }).and(page.locator(":focus")).waitFor();
  await toastSays(page, "orders answers");
  await page.done();
});

test("credentials are behind a reveal, can be copied, and fill the snippets", async () => {
  const { services } = await uws.gql('{ services(filter: {nameContains: "photos"}) { nodes { id endpoint } } }');
  const { id, endpoint } = services.nodes[0];
  const { revealCredentials } = await uws.gql(
    "mutation ($id: ID!) { revealCredentials(id: $id) { values { name value } } }",
    { id },
  );
  const secret = revealCredentials.values.find((v) => v.name === "secretKey").value;
  const page = await open(`/buckets/${id}?tab=connect`);
  const snippet = page.getByRole("region", { name: /snippet/ });
  await snippet.getByText(endpoint).first().waitFor();
  assert.ok(!(await page.content()).includes(secret), "it is not in the page before it is revealed");
  await page.getByRole("button", { name: "Reveal" }).click();
  await page.getByText(secret, { exact: true }).waitFor();
  await page.getByRole("button", { name: "Copy secretKey" }).click();
  await page.getByText("Copied").first().waitFor({ state: "attached" });
  assert.equal(await page.evaluate(() => navigator.clipboard.readText()), secret);
  await page.getByRole("button", { name: "Python", exact: true }).click();
  assert.match(await snippet.textContent(), new RegExp(`import boto3[^]*${secret.replace(/[^\w]/g, ".")}`));
  await page.getByRole("button", { name: "Hide" }).click();
  await page.getByText(secret, { exact: true }).waitFor({ state: "detached" });
  assert.ok(!(await page.content()).includes(secret), "and not after it was hidden");
  await page.done();
});

test("credentials are changed: what was shown goes, the outcome is told, and the new ones are there", async () => {
  const { services } = await uws.gql('{ services(filter: {nameContains: "photos"}) { nodes { id } } }');
  const { id } = services.nodes[0];
  const secretNow = async () => {
    const { revealCredentials } = await uws.gql(
      "mutation ($id: ID!) { revealCredentials(id: $id) { values { name value } } }",
      { id },
    );
    return revealCredentials.values.find((v) => v.name === "secretKey").value;
  };
  const old = await secretNow();
  const page = await open(`/buckets/${id}?tab=connect`);
  await page.getByRole("button", { name: "Reveal" }).click();
  await page.getByText(old, { exact: true }).waitFor();
  await page.getByRole("button", { name: "Change…" }).click();
  const dialog = page.getByRole("dialog", { name: "Change the credentials of photos?" });
  await dialog.getByRole("button", { name: "Cancel" }).click();
  await dialog.waitFor({ state: "detached" });
  assert.equal(await secretNow(), old, "nothing happens before it is confirmed");

  await page.getByRole("button", { name: "Change…" }).click();
  await dialog.getByRole("button", { name: "Change credentials" }).click();
  await toastSays(page, "The credentials of photos are changed");
  await page.getByText(old, { exact: true }).waitFor({ state: "detached" });
  await page.getByRole("button", { name: "Reveal" }).click();
  const now = await secretNow();
  assert.notEqual(now, old);
  await page.getByText(now, { exact: true }).waitFor();

  await uws.gql("mutation ($id: ID!) { stopService(id: $id) { id } }", { id });
  await rowShows(page, "photos", "Stopped");
  const change = page.getByRole("button", { name: "Change…" });
  await until("a stopped service's cannot be changed", () => change.isDisabled());
  await uws.gql("mutation ($id: ID!) { startService(id: $id) { id } }", { id });
  await rowShows(page, "photos", "Healthy");
  await until("they can be changed again", () => change.isEnabled());
  await page.done();
});

test("removal keeps the data, which comes back with the same name; deleting it takes typing the name", async () => {
  const id = await uws.launch("SECRETS", "vault");
  const page = await open(`/secrets/${id}`);
  await page.getByRole("heading", { name: "vault", level: 2 }).waitFor(); // it takes the focus when it comes
  await row(page, "vault").getByRole("link").focus();
  await page.keyboard.press("Delete");
  const dialog = page.getByRole("dialog", { name: "Remove vault?" });
  assert.equal(await dialog.getByRole("radio", { name: /Keep its data/ }).isChecked(), true);
  await dialog.getByRole("button", { name: "Remove service" }).click();
  await toastSays(page, "vault is removed");
  await row(page, "vault").waitFor({ state: "detached" });

  await page.getByRole("link", { name: "Retained data", exact: true }).click();
  await page.locator("[data-retained=vault]").waitFor();
  await page.keyboard.press("n");
  const launch = page.getByRole("dialog", { name: "Launch new service" });
  await launch.getByText("Secrets", { exact: true }).click();
  await launch.getByLabel("Name", { exact: true }).fill("vault");
  await launch.getByRole("button", { name: "Launch service" }).click();
  await launch.getByRole("button", { name: "Launch with its data" }).click();
  await launch.getByText("The data keeps its credentials").waitFor();
  await launch.getByRole("button", { name: "Launch service" }).click();
  await page.waitForURL(/\/secrets\/s/);
  await rowShows(page, "vault", "Healthy");

  await page.getByRole("toolbar").getByRole("button", { name: "Remove" }).click();
  await dialog.getByRole("radio", { name: /Delete its data/ }).check();
  await dialog.getByLabel(/to confirm/).fill("vaul");
  await dialog.getByRole("button", { name: "Remove and delete data" }).click();
  await dialog.getByText("Type vault to confirm.").waitFor();
  await dialog.getByLabel(/to confirm/).fill("vault");
  await dialog.getByRole("button", { name: "Remove and delete data" }).click();
  await row(page, "vault").waitFor({ state: "detached" });
  await page.locator("[data-toast]", { hasText: "Its data is deleted" }).waitFor();
  await page.getByRole("link", { name: "Retained data", exact: true }).click();
  await page.getByRole("heading", { name: "No retained data" }).waitFor();
  await page.done();
});

test("retained data is reattached or deleted from its page", async () => {
  const id = await uws.launch("BUCKET", "archive");
  await uws.gql("mutation ($id: ID!) { removeService(id: $id) { id } }", { id });
  await until("its data is listed", async () => (await uws.gql("{ retainedData { name } }")).retainedData.length === 1);
  const page = await open("/retained");
  await page.getByRole("button", { name: "Reattach…" }).click();
  const launch = page.getByRole("dialog", { name: "Launch new service" });
  await until(
    "the name is that of the data",
    async () => (await launch.getByLabel("Name", { exact: true }).inputValue()) === "archive",
  );
  await page.keyboard.press("Escape");
  await page.getByRole("button", { name: "Delete…" }).click();
  const dialog = page.getByRole("dialog", { name: "Delete the data of archive?" });
  await dialog.getByRole("button", { name: "Delete data" }).click();
  await dialog.getByText("Type archive to confirm.").waitFor();
  await dialog.getByLabel(/to confirm/).fill("archive");
  await page.keyboard.press("Enter");
  await toastSays(page, "The data of archive is being deleted");
  await page.getByRole("heading", { name: "No retained data" }).waitFor();
  await page.done();
});

test("filters and selection are in the address; back and forward work", async () => {
  const page = await open("/services");
  await row(page, "orders").waitFor();
  await page.getByRole("searchbox").fill("phot");
  await row(page, "orders").waitFor({ state: "detached" });
  assert.match(page.url(), /q=phot/);
  await row(page, "photos").getByRole("link").click();
  await page.getByRole("heading", { name: "photos", level: 2 }).waitFor();
  assert.match(page.url(), /\/services\/s\w+\?q=phot/);
  await page.goBack();
  await page.getByRole("heading", { name: "photos", level: 2 }).waitFor({ state: "detached" });
  await page.goForward();
  await page.getByRole("heading", { name: "photos", level: 2 }).waitFor();
  await page.goBack();
  await page
    .getByRole("navigation", { name: "Filter by status" })
    .getByRole("link", { name: /Unhealthy/ })
    .click();
  await page.getByRole("heading", { name: "Nothing matches" }).waitFor();
  assert.match(page.url(), /status=unhealthy/);
  await page.getByRole("link", { name: "Clear the filters" }).click();
  await row(page, "orders").waitFor();
  assert.equal(await page.getByRole("searchbox").inputValue(), "");
  await page.getByRole("columnheader", { name: "Name" }).getByRole("button").click();
  await until("the order is turned", async () =>
    (await page.locator("[data-row]").first().textContent()).includes("photos"),
  );
  assert.match(page.url(), /desc=1/);
  await page.reload();
  await until("the order is kept", async () =>
    (await page.locator("[data-row]").first().textContent()).includes("photos"),
  );
  await page.done();
});

test("everything can be done with the keyboard, and the focus comes back", async () => {
  const page = await open("/services");
  await row(page, "photos").waitFor();
  await page.keyboard.press("?");
  await page.getByRole("dialog", { name: "Keyboard shortcuts" }).waitFor();
  await page.keyboard.press("Escape");
  await page.getByRole("dialog").waitFor({ state: "detached" });
  await page.keyboard.press("/");
  assert.equal(await page.evaluate(() => document.activeElement?.getAttribute("type")), "search");
  await page.keyboard.press("ArrowDown");
  assert.equal(await focusedText(page), "orders");
  await page.keyboard.press("ArrowDown");
  assert.equal(await focusedText(page), "photos");
  await page.keyboard.press("Home");
  assert.equal(await focusedText(page), "orders");
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: "orders", level: 2 }).waitFor();
  assert.equal(await focusedText(page), "orders", "the heading has the focus");
  await page.keyboard.press("Delete");
  await page.getByRole("dialog", { name: "Remove orders?" }).waitFor();
  await page.keyboard.press("Escape");
  await page.getByRole("dialog").waitFor({ state: "detached" });
  await until("the heading has the focus again", async () => (await focusedText(page)) === "orders");
  await page.keyboard.press("Escape");
  await until(
    "the row has the focus again",
    async () =>
      (await page.evaluate(() => document.activeElement?.closest("[data-row]") !== null)) &&
      (await focusedText(page)) === "orders",
  );
  await page.keyboard.press("Delete");
  const dialog = page.getByRole("dialog", { name: "Remove orders?" });
  await dialog.waitFor();
  await page.keyboard.press("Escape");
  await dialog.waitFor({ state: "detached" });
  await until("the focus is back on the row", async () => (await focusedText(page)) === "orders");
  await page.keyboard.press("g");
  await page.keyboard.press("n");
  await page.getByRole("heading", { name: "Nodes", level: 1 }).waitFor();
  assert.match(page.url(), /\/nodes$/);
  await page.done();
});

test("a size that cannot be is refused in words beside its field", async () => {
  const page = await open("/services");
  // The local node passes for a Docker Engine: only one of those holds services to limits.
  await page.routeWebSocket(/graphql/, (socket) => {
    const server = socket.connectToServer();
    server.onMessage((text) => socket.send(text.replaceAll('"driver":"PROCESS"', '"driver":"DOCKER"')));
  });
  await page.reload();
  await page.getByRole("button", { name: "Launch New Service" }).click();
  const dialog = page.getByRole("dialog", { name: "Launch new service" });
  await dialog.getByText("Size", { exact: true }).click();
  const memory = dialog.getByLabel("Memory (MiB)");
  const { templates } = await uws.gql("{ templates { kind defaultOn settings { limits { memoryMiB { default } } } } }");
  const preset = templates.find((t) => t.kind === "DB" && t.defaultOn.includes("DOCKER"));
  assert.equal(await memory.getAttribute("placeholder"), `${preset.settings.limits.memoryMiB.default}`);
  await memory.fill("8");
  await dialog.getByRole("button", { name: "Launch service" }).click();
  await dialog.getByText("Use 16 to 1048576.").waitFor();
  assert.equal(await memory.getAttribute("aria-invalid"), "true");
  const problem = await memory.getAttribute("aria-describedby");
  assert.equal(await page.locator(`[id="${problem}"]`).textContent(), "Use 16 to 1048576.");
  await memory.fill("64");
  await dialog.getByText("Use 16 to 1048576.").waitFor({ state: "detached" });
  await page.keyboard.press("Escape");
  await page.done();
});

test("a node is drained, and takes services again", async () => {
  const page = await open("/nodes");
  const draining = async () => (await uws.gql("{ nodes { draining } }")).nodes[0].draining;
  const choose = async (item) => {
    await page.getByRole("button", { name: "More for local" }).click();
    await page.getByRole("menuitem", { name: item, exact: true }).click();
  };
  await choose("Drain");
  await toastSays(page, "local is draining");
  await page.getByRole("main").getByText("Draining", { exact: true }).waitFor();
  assert.equal(await draining(), true);
  await choose("Stop draining");
  await toastSays(page, "local takes new services again");
  await page.getByRole("main").getByText("Draining", { exact: true }).waitFor({ state: "detached" });
  assert.equal(await draining(), false);
  await page.done();
});

test("a node that cannot be reached is refused beside the field", async () => {
  const page = await open("/nodes");
  await page.getByRole("button", { name: "Register node" }).click();
  const dialog = page.getByRole("dialog", { name: "Register node" });
  await dialog.getByLabel("Name").fill("second");
  await dialog.getByLabel("Driver").selectOption("PROCESS");
  await dialog.getByLabel("Endpoint").fill("/somewhere");
  await dialog.getByLabel("Service address").fill("127.0.0.1");
  await dialog.getByRole("button", { name: "Register node" }).click();
  const endpoint = dialog.getByLabel("Endpoint");
  await until("the endpoint is marked", async () => (await endpoint.getAttribute("aria-invalid")) === "true");

  await dialog.getByLabel("Driver").selectOption("DOCKER");
  await endpoint.fill("banana");
  await dialog.getByRole("button", { name: "Register node" }).click();
  await until("the endpoint is marked", async () => (await endpoint.getAttribute("aria-invalid")) === "true");
  assert.notEqual(await dialog.getByLabel("Service address").getAttribute("aria-invalid"), "true");

  await endpoint.fill("tcp://192.0.2.1:2376");
  await dialog.getByLabel("Service address").fill("192.0.2.1");
  const ca = dialog.getByLabel("CA", { exact: true });
  await ca.fill("not PEM");
  await dialog.getByRole("button", { name: "Register node" }).click();
  await until("the CA is marked", async () => (await ca.getAttribute("aria-invalid")) === "true");
  await endpoint.fill("ssh://root@192.0.2.1");
  await ca.waitFor({ state: "detached" });
  await dialog.getByRole("button", { name: "Register node" }).click();
  const key = dialog.getByLabel("Private key");
  await until("the key is marked", async () => (await key.getAttribute("aria-invalid")) === "true");
  await page.keyboard.press("Escape");
  await page.done();
});

test("a form takes the focus to what is wrong at once, and never from who types", async () => {
  const page = await open("/nodes");
  await page.getByRole("button", { name: "Register node" }).click();
  const dialog = page.getByRole("dialog", { name: "Register node" });
  const register = dialog.getByRole("button", { name: "Register node" });
  const endpoint = dialog.getByLabel("Endpoint");
  const address = dialog.getByLabel("Service address");
  const focused = (field) => field.evaluate((element) => document.activeElement === element);

  // When a field is marked, it has the focus already.
  await endpoint.evaluate((element) => {
    new MutationObserver(() => {
      window.focusWhenMarked = document.activeElement === element;
    }).observe(element, { attributeFilter: ["aria-invalid"] });
  });
  await dialog.getByLabel("Name").fill("second");
  await address.fill("127.0.0.1");
  await register.click();
  await until("the endpoint is marked", () => page.evaluate(() => "focusWhenMarked" in window));
  assert.equal(await page.evaluate(() => window.focusWhenMarked), true);

  // The server's answer comes while the person goes on: to another field, or in the one where Enter was pressed.
  await endpoint.fill("banana");
  const registers = (request) => request.postData()?.includes("registerNode"); // the page also asks for the use of its nodes
  for (const [send, typing] of [
    [() => register.click(), address],
    [() => address.press("Enter"), address],
  ]) {
    let answer;
    await page.route("**/graphql", async (route) => {
      if (registers(route.request())) {
        await new Promise((done) => {
          answer = done;
        });
      }
      await route.continue();
    });
    const asked = page.waitForRequest(registers);
    await send();
    await asked;
    await typing.press("End");
    await page.keyboard.type("0");
    await until("the server is asked", () => answer);
    answer();
    await until("the endpoint is marked", async () => (await endpoint.getAttribute("aria-invalid")) === "true");
    await page.keyboard.type("1");
    assert.ok(await focused(typing));
    await page.unroute("**/graphql");
  }
  assert.equal(await address.inputValue(), "127.0.0.10101");
  assert.equal(await endpoint.inputValue(), "banana");

  // Who waits is led there.
  await register.click();
  await until("the endpoint has the focus", () => focused(endpoint));
  await page.keyboard.press("Escape");
  await page.done();
});

test("the title counts what is unhealthy", async () => {
  const id = await uws.launch("QUEUE", "flaky");
  const page = await open("/");
  await page.getByText("Nothing needs your attention.").waitFor();
  assert.equal(await page.title(), "Overview · UWS");
  // Killed again and again, it ends up waiting for its next start.
  const ended = Date.now() + patience;
  while (!(await page.title()).startsWith("(1)")) {
    assert.ok(Date.now() < ended, "it was never counted");
    for (const pid of uws.engines(id)) kill(pid);
    await new Promise((done) => setTimeout(done, 20));
  }
  await page.getByRole("region", { name: "Needs attention" }).getByRole("link", { name: "flaky" }).waitFor();
  await page.done();
});
