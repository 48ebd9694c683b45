// What can be done with a node follows what the server allows, as it changes.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { launchBrowser, openPage, Uws, until } from "./harness.mjs";

let uws, browser;
before(async () => {
  [uws, browser] = await Promise.all([Uws.start(), launchBrowser()]);
});
after(async () => {
  await browser?.close();
  await uws?.clear();
});

const removal = (page) => page.getByRole("menuitem", { name: "Remove node…", exact: true });
const enabled = (page, want) =>
  until(`removal is ${want ? "" : "not "}offered`, async () => {
    const disabled = (await removal(page).getAttribute("aria-disabled")) === "true";
    return disabled !== want;
  });

test("a node can be removed only while neither services nor retained data are there", async () => {
  const page = await openPage(browser, uws.url, "/nodes");
  await page.getByRole("button", { name: "More for local" }).click();
  await enabled(page, true);
  const id = await uws.launch("QUEUE", "orders");
  await enabled(page, false);
  await uws.gql("mutation ($id: ID!) { removeService(id: $id) { id } }", { id });
  await until("its data is retained", async () => (await uws.gql("{ retainedData { id } }")).retainedData.length === 1);
  await until("it is gone", async () => (await uws.service(id)) === null);
  await enabled(page, false);
  const { retainedData } = await uws.gql("{ retainedData { id } }");
  await uws.gql("mutation ($id: ID!) { deleteRetainedData(id: $id) { id } }", { id: retainedData[0].id });
  await enabled(page, true);
  await removal(page).click();
  const dialog = page.getByRole("dialog", { name: "Remove local?" });
  await dialog.getByText("The node has no services and no retained data.").waitFor();
  await page.keyboard.press("Escape");
  await page.done();
});

test("a node in use that does not answer can only be forgotten", async () => {
  const allow = (text) =>
    text.replaceAll(/"allowedActions":\["UPDATE",[^\]]*\]/g, '"allowedActions":["UPDATE","DRAIN","FORGET"]');
  const page = await openPage(browser, uws.url, "/");
  await page.routeWebSocket(/graphql/, (socket) => {
    const server = socket.connectToServer();
    server.onMessage((text) => socket.send(allow(text)));
  });
  await page.route("**/graphql", async (route) => {
    const response = await route.fetch();
    await route.fulfill({ response, body: allow(await response.text()) });
  });
  await page.goto("/nodes");
  await page.getByRole("button", { name: "More for local" }).click();
  await removal(page).click();
  const dialog = page.getByRole("dialog", { name: "Remove local?" });
  await dialog.getByText("Forgetting it removes the node together with its services").waitFor();
  await dialog.getByRole("button", { name: "Forget and remove" }).waitFor();
  await page.keyboard.press("Escape");
  await page.unrouteAll({ behavior: "ignoreErrors" }); // the page asks again and again
  await page.done();
});

test("a caller who may not manage nodes has no menu of a node", async () => {
  const page = await openPage(browser, uws.url, "/nodes", { as: "OPERATOR" });
  await page.getByRole("heading", { name: "local" }).waitFor();
  assert.equal(await page.getByRole("button", { name: "More for local" }).count(), 0);
  await page.done();
});
