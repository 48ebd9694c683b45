// The log of a real engine in the Logs tab: shown, followed, searched, filtered, copied, downloaded, and over restarts of both.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { connect } from "node:net";
import { after, before, test } from "node:test";
import { kill, launchBrowser, openPage, row, Uws, until } from "./harness.mjs";

let uws, browser, id, endpoint, page;
before(async () => {
  [uws, browser] = await Promise.all([Uws.start(), launchBrowser()]);
  id = await uws.launch("QUEUE", "orders");
  const { service } = await uws.gql("query ($id: ID!) { service(id: $id) { endpoint } }", { id });
  endpoint = service.endpoint;
  page = await open(`/queues/${id}?tab=logs`);
  page.serverGoesAway();
});
after(async () => {
  await browser?.close();
  await uws?.clear();
});

const open = (path, options) => openPage(browser, uws.url, path, { height: 700, ...options });
const log = (p = page) => p.locator("[data-log]");
const lines = () => log().locator("[data-line]");
const state = (word) => page.locator(`[data-log-state=${word}]`).waitFor();
const shows = (text) => log().locator(".log-text", { hasText: text }).first().waitFor();
const texts = () => log().locator(".log-text").allTextContents();
const select = (label, value) => page.getByRole("combobox", { name: label, exact: true }).selectOption(value);
/** Has the engine write a line: it logs each login that it refuses, with the user's name. */
async function refusedLogin(user) {
  const { hostname, port } = new URL(endpoint);
  await new Promise((done, fail) => {
    const socket = connect(Number(port), hostname).on("error", fail);
    socket.on("data", () => {}).on("close", done);
    socket.write(`CONNECT ${JSON.stringify({ user, pass: "wrong", verbose: false })}\r\nPING\r\n`);
  });
}
async function refusedLogins(name, from, to) {
  for (let i = from; i < to; i++) await refusedLogin(`${name}-${i}.`);
}
const toTheEnd = async () => {
  await log().focus();
  await page.keyboard.press("End");
  await state("following");
};
/** The numbers in the log of the users with a name, from all lines that the server has. */
const loginsIn = (all, name) =>
  all.flatMap((text) => [...text.matchAll(new RegExp(`${name}-(\\d+)\\.`, "g"))].map((m) => Number(m[1])));

test("the lines of an engine are shown, with time, level and text, and new ones appear as they are written", async () => {
  await shows("Server is ready");
  await state("following");
  const first = lines().filter({ hasText: "Server is ready" });
  assert.match(await first.locator("time").textContent(), /^\d\d:\d\d:\d\d\.\d{3}$/);
  assert.match(await first.locator("time").getAttribute("title"), /^\d{4}-.*Z, standard error$/);
  assert.equal(await first.locator(".log-level").textContent(), "info");
  await refusedLogins("first", 0, 3);
  await shows("first-2.");
  assert.equal(await lines().filter({ hasText: "first-2." }).locator(".log-level").textContent(), "error");
});

test("it pauses when one scrolls up, moves nothing meanwhile, and goes on with a click", async () => {
  await refusedLogins("fill", 0, 40);
  await shows("fill-39.");
  await log().hover();
  await page.mouse.wheel(0, -200);
  await state("paused");
  const place = () => log().evaluate((view) => view.scrollTop);
  await until("it rests", async () => {
    const one = await place();
    await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
    return one === (await place());
  });
  const before = await place();
  await refusedLogins("more", 0, 3);
  await page.getByRole("button", { name: /^\d+ new lines – Follow$/ }).waitFor();
  assert.equal(await place(), before);
  await page.getByRole("button", { name: /Follow$/ }).click();
  await state("following");
  await shows("more-2.");
});

test("the keyboard reaches the lines and the search, and the End key follows", async () => {
  await log().focus();
  await page.keyboard.press("Home");
  await state("paused");
  await log().getByText("Nothing older is kept").waitFor();
  await page.keyboard.press("End");
  await state("following");
  await page.keyboard.press("/");
  assert.equal(await page.evaluate(() => document.activeElement.matches("[data-log-search]")), true);
});

test("a search selects lines, marks what it found, and selects new lines by the same rule", async () => {
  await page.keyboard.type("FILL-7");
  await page.keyboard.press("Enter");
  await page.waitForURL(/contains=FILL-7/);
  await until("one line is left", async () => (await texts()).every((text) => text.includes("fill-7")));
  assert.equal(await log().locator("mark").first().textContent(), "fill-7");
  await refusedLogin("other.");
  await refusedLogin("fill-77.");
  await shows("fill-77.");
  assert.ok((await texts()).every((text) => text.includes("fill-7")));
  await page.getByRole("searchbox", { name: "Search the log" }).fill("no such text");
  await page.getByText("No line matches").waitFor();
  await page.getByRole("button", { name: "Clear the filters" }).click();
  await shows("fill-77.");
  assert.doesNotMatch(page.url(), /contains/);
});

test("a level selects lines of it and more severe ones", async () => {
  await select("Level", "ERROR");
  await until("no line of another level is left", async () => {
    const levels = await log().locator(".log-level").allTextContents();
    return levels.length > 5 && levels.every((level) => level === "error" || level === "fatal");
  });
  await select("Level", "");
  await shows("fill-77.");
});

test("after a restart there is another run: it is marked, and each can be shown alone", async () => {
  for (const pid of uws.engines(id)) kill(pid);
  await until("orders is healthy", async () => (await uws.service(id)).health === "HEALTHY");
  const runs = page.getByRole("combobox", { name: "Run", exact: true });
  await runs.locator("option", { hasText: "Previous run" }).waitFor({ state: "attached" });
  const search = page.getByRole("searchbox", { name: "Search the log" });
  await search.fill("Starting nats-server"); // the first line of each
  await until("the first lines of both runs are left, and the second is marked", async () => {
    const all = await lines().evaluateAll((some) => some.map((line) => line.textContent));
    return (
      all.length === 2 &&
      all.every((text) => text.includes("Starting nats-server")) &&
      !all[0].includes("new run") &&
      all[1].includes("new run")
    );
  });
  await search.fill("");
  const [current, previous] = await runs.evaluate((e) => [...e.options].slice(1).map((o) => o.value));
  await select("Run", previous);
  await page.waitForURL(`**run=${previous}*`);
  await shows("fill-77.");
  await refusedLogin("second-run.");
  await select("Run", current);
  await shows("second-run.");
  assert.ok(!(await texts()).some((text) => text.includes("fill-")));
  await select("Run", "");
  await toTheEnd();
});

test("the event of a crash leads to the log of the run that crashed", async () => {
  await page.getByRole("tab", { name: "Events" }).click();
  await page.getByRole("link", { name: "Show the log of that run" }).first().click();
  await page.waitForURL(/tab=logs.*run=/);
  await shows("fill-77.");
  assert.ok(!(await texts()).some((text) => text.includes("second-run.")));
  await select("Run", "");
  await shows("second-run.");
});

test("lines are wrapped or cut, and times shown or not; the browser remembers it", async () => {
  await page.getByRole("button", { name: "Wrap lines" }).click();
  await page.getByRole("button", { name: "Show times" }).click();
  assert.equal(await log().locator("time").count(), 0);
  await page.reload();
  await shows("second-run.");
  assert.equal(await page.getByRole("button", { name: "Wrap lines" }).getAttribute("aria-pressed"), "false");
  assert.equal(await log().locator("time").count(), 0);
  assert.deepEqual(
    await lines().evaluateAll((all) => [...new Set(all.map((line) => line.getBoundingClientRect().height))]),
    [20],
  );
  await page.getByRole("button", { name: "Show times" }).click();
  await page.getByRole("button", { name: "Wrap lines" }).click();
});

test("the lines in sight are copied or, if there is a selection, those of it", async () => {
  const copy = async () => {
    await page.getByRole("button", { name: "Copy the selected lines" }).click();
    return page.evaluate(() => navigator.clipboard.readText());
  };
  await toTheEnd();
  const inSight = (await copy()).trimEnd().split("\n");
  assert.ok(inSight.length > 5);
  assert.match(inSight.at(-1), /^\d{4}-\d\d-\d\dT\S+Z /);
  const chosen = await log().evaluate((view) => {
    const rows = [...view.querySelectorAll("[data-line]")].slice(-3, -1);
    getSelection().setBaseAndExtent(
      rows[0].querySelector(".log-text").firstChild,
      3,
      rows[1].querySelector(".log-text").firstChild,
      5,
    );
    return rows.map((r) => r.querySelector(".log-text").textContent);
  });
  const copied = (await copy()).trimEnd().split("\n");
  assert.deepEqual(
    copied.map((line) => line.slice(line.indexOf(" ") + 1)),
    chosen,
  );
  await page.evaluate(() => getSelection().removeAllRanges());
});

test("the whole log is downloaded as the server has it", async () => {
  const arrives = page.waitForEvent("download");
  await page.getByRole("button", { name: "Download the whole log" }).click();
  const download = await arrives;
  assert.match(download.suggestedFilename(), /^orders-\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d\.log$/);
  const text = readFileSync(await download.path(), "utf8");
  const answer = await fetch(`${uws.url}/services/${id}/logs?tail=all`, {
    headers: { Authorization: `Bearer ${uws.tokens.OPERATOR}` },
  });
  assert.ok(text === (await answer.text()), "it is another text");
  assert.deepEqual(loginsIn([text], "fill"), [...Array(40).keys(), 77]);
});

test("a download can be cancelled", async () => {
  let release;
  const held = new Promise((done) => {
    release = done;
  });
  await page.route("**/graphql", async (route) => {
    if (route.request().postData()?.includes('"first":1000')) await held;
    await route.continue();
  });
  await page.getByRole("button", { name: "Download the whole log" }).click();
  await page.getByText("0 lines so far").waitFor();
  await page.getByRole("button", { name: "Cancel" }).click();
  await page.getByText("lines so far").waitFor({ state: "detached" });
  const answered = page.waitForResponse((r) => r.request().postData()?.includes('"first":1000'));
  release();
  await answered;
  await page.unroute("**/graphql");
});

test("without a connection it says so, and goes on where it stopped: no line is missing, none is there twice", async () => {
  await refusedLogins("before", 0, 3);
  await shows("before-2.");
  await uws.stop();
  await page.getByText("Disconnected. The log continues where it stopped").waitFor();
  await refusedLogins("away", 0, 5); // the engine runs on
  await uws.run();
  await shows("away-4.");
  await page.getByText("Disconnected. The log").waitFor({ state: "detached" });
  await refusedLogins("after", 0, 3);
  await shows("after-2.");
  const all = await texts();
  assert.deepEqual(loginsIn(all, "before"), [0, 1, 2]);
  assert.deepEqual(loginsIn(all, "away"), [0, 1, 2, 3, 4]);
  assert.deepEqual(loginsIn(all, "after"), [0, 1, 2]);
});

test("the log can take the place of the list, and Esc goes back to it", async () => {
  await page.setViewportSize({ width: 1440, height: 700 });
  await row(page, "orders").waitFor();
  await page.getByRole("button", { name: "Use the whole width" }).click();
  await page.waitForURL(/wide=1/);
  await row(page, "orders").waitFor({ state: "hidden" });
  await page.getByRole("button", { name: "Use the whole width" }).click();
  await row(page, "orders").waitFor();
});

test("a service that wrote nothing yet, and a viewer, are told so", async () => {
  const viewer = await open(`/queues/${id}?tab=logs`, { as: "VIEWER" });
  await viewer.getByText("You need the role OPERATOR to read it.").waitFor();
  assert.equal(await log(viewer).count(), 0);
  await viewer.done();
  const operator = await open(`/queues/${id}?tab=logs`, { as: "OPERATOR" });
  await log(operator).locator("[data-line]").first().waitFor();
  await operator.route("**/graphql", async (route) => {
    if (!route.request().postData()?.includes("ServiceLogs")) return route.continue();
    const pageInfo = { endCursor: null, hasPreviousPage: false };
    return route.fulfill({ json: { data: { serviceLogs: { nodes: [], pageInfo } } } });
  });
  await operator.reload();
  await operator.getByRole("heading", { name: "No output yet" }).waitFor();
  await operator.done();
});

test("when the service is removed, so is its log", async () => {
  await uws.gql("mutation ($id: ID!) { removeService(id: $id, data: DELETE) { id } }", { id });
  await page.getByText(/was removed/).waitFor();
  await page.done();
});
