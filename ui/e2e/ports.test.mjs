// A browser sends the cookies of a host to each of its ports: another user's listener, or an engine, must have no use for them.
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { after, before, test } from "node:test";
import WebSocket from "ws";
import { launchBrowser, openPage, Uws } from "./harness.mjs";

let uws, browser, listener;
const received = []; // the requests' headers, by the other listener

before(async () => {
  [uws, browser] = await Promise.all([Uws.start(), launchBrowser()]);
  listener = createServer((request, response) => {
    received.push(request.headers);
    if (request.url === "/") response.writeHead(302, { Location: "/here" }).end();
    else response.setHeader("Content-Type", "text/html").end("<title>other</title>");
  });
  await new Promise((done) => listener.listen(0, "127.0.0.1", done));
});
after(async () => {
  await browser?.close();
  listener?.close();
  await uws?.clear();
});

test("what another port of the host gets of a session is worthless", async () => {
  const page = await openPage(browser, uws.url, "/", { as: null });
  await page.getByLabel("Login link or token").fill(uws.tokens.ADMIN);
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: "Nothing is running yet" }).waitFor();
  await page.locator("[data-socket=live]:visible").waitFor();

  const other = await page.context().newPage(); // a new tab has the session too
  await other.goto("/access/audit");
  await other.locator("[data-audit=signIn]").first().waitFor();
  await other.evaluate((port) => location.assign(`http://127.0.0.1:${port}/`), listener.address().port);
  await other.waitForURL("**/here");
  assert.equal(await other.evaluate(() => localStorage.length), 0);
  assert.equal(received.length >= 2, true);
  const { cookie } = received.at(-1);
  assert.match(cookie, /^uws_\w+=uwss_\w+$/, "the browser sends the cookie to every port");
  const secrets = JSON.stringify(received);
  const key = await page.evaluate(() => localStorage.getItem("uws-session-key"));
  assert.ok(key && !secrets.includes(key) && !secrets.includes("uws-session-key"), secrets);

  const body = JSON.stringify({ query: "{ viewer { name } }" });
  const headers = { cookie, "Content-Type": "application/json" };
  assert.equal((await fetch(`${uws.url}/graphql`, { method: "POST", headers, body })).status, 401);
  assert.equal((await fetch(`${uws.url}/audit.jsonl`, { headers })).status, 401);
  const code = await new Promise((closed, failed) => {
    const socket = new WebSocket(`${uws.url}/graphql`, "graphql-transport-ws", { headers });
    socket.on("open", () => socket.send('{"type":"connection_init"}'));
    socket.on("message", (text) => failed(new Error(`it answers ${text}`)));
    socket.on("close", closed);
    socket.on("error", failed);
  });
  assert.equal(code, 4403);

  await page.reload(); // the session itself is as good as before
  await page.getByRole("heading", { name: "Nothing is running yet" }).waitFor();
  await page.done();
});
