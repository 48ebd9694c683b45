// Who may come in, and what is there for them.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { beginSession, keepKey, launchBrowser, openPage, row, signIn, toastSays, Uws, until } from "./harness.mjs";

let uws, browser, photos, kept;
before(async () => {
  [uws, browser] = await Promise.all([Uws.start(), launchBrowser()]);
});
after(async () => {
  await browser?.close();
  await uws?.clear();
});

const open = (path, options) => openPage(browser, uws.url, path, options);
const onSignIn = (page) => page.getByRole("heading", { name: "Sign in", level: 1 }).waitFor();
const fillIn = async (page, text) => {
  await page.getByLabel("Login link or token").fill(text);
  await page.keyboard.press("Enter");
};
const problem = (page) => page.getByRole("alert");

test("the link that the server prints at first signs in once", async () => {
  const link = await until("there is a link", () => /http:\S+\/sign-in#\S+/.exec(uws.output)?.[0]);
  const page = await open(link, { as: null });
  await page.getByRole("heading", { name: "Nothing is running yet" }).waitFor();
  assert.equal(await page.evaluate(() => location.href), `${uws.url}/`);
  await page.getByRole("group", { name: "Signed in" }).getByText("owner").waitFor();
  await page.goBack().catch(() => {}); // the browser's first page, or nothing at all
  assert.ok(!page.url().includes("#"), "the secret is in no history");

  const second = await open(link, { as: null });
  await problem(second)
    .getByText(/already used/)
    .waitFor();
  assert.equal(second.url(), `${uws.url}/sign-in`);
  await page.done();
  await second.done();
});

test("everything leads to the sign-in page, and from there to where one was going", async () => {
  photos = await uws.launch("BUCKET", "photos");
  for (const path of [
    "/",
    "/services?status=healthy",
    `/buckets/${photos}`,
    "/access/tokens",
    "/no/such/page",
    "/playground",
  ]) {
    const page = await open(path, { as: null });
    await onSignIn(page);
    assert.equal(await page.getByText("photos").count(), 0);
    await fillIn(page, uws.tokens.VIEWER);
    await page.waitForURL(
      path === "/access/tokens" ? "**/access/sessions" : (url) => url.pathname + url.search === path,
    );
    await page.done();
  }
});

test("a link opened in the tab that waits for it goes where one was going", async () => {
  const page = await open("/buckets", { as: null });
  await onSignIn(page);
  await page.goto(await uws.loginLink("--role", "VIEWER", "--name", "bob"));
  await page.waitForURL("**/buckets");
  await page.getByRole("group", { name: "Signed in" }).getByText("bob").waitFor();
  await page.done();
});

test("what cannot be signed in with is said in plain words", async () => {
  const page = await open("/sign-in", { as: null });
  await page.getByText("uws login-link", { exact: true }).waitFor();
  await page.getByRole("button", { name: "Sign in" }).click();
  await problem(page).getByText("Paste a login link or a token.").waitFor();
  await fillIn(page, `${uws.url}/sign-in#uwsl_nonsense`);
  await problem(page)
    .getByText(/already used, or is mistyped/)
    .waitFor();
  await fillIn(page, `${uws.tokens.VIEWER}x`);
  await problem(page)
    .getByText(/This token is mistyped, or was revoked/)
    .waitFor();
  page.serverGoesAway();
  await page.route("**/auth/sign-in", (route) => route.abort("connectionrefused"), { times: 1 });
  await fillIn(page, "uws_x");
  await problem(page)
    .getByText(/did not answer/)
    .waitFor();
  await page.route("**/auth/sign-in", (route) => route.fulfill({ status: 429, json: { errors: [] } }), { times: 1 });
  await fillIn(page, "uws_y");
  await problem(page)
    .getByText(/Too many attempts/)
    .waitFor();
  page.faults.splice(0, page.faults.length, ...page.faults.filter((fault) => !fault.includes("429")));
  // And after all that it works, with the link as it was sent.
  await fillIn(page, ` ${await uws.loginLink()} `);
  await row(page, "photos")
    .or(page.getByRole("region", { name: "Services by kind" }))
    .first()
    .waitFor();
  await page.done();
});

test("signing out leaves nothing, in no tab", async () => {
  const page = await open("/services");
  await row(page, "photos").waitFor();
  await page.getByRole("link", { name: "Retained data" }).click();
  await page.waitForURL("**/retained");
  const other = await page.context().newPage();
  await other.goto("/nodes");
  await other.getByRole("heading", { name: "local" }).waitFor();
  page.sessionEnds();
  await page.getByRole("button", { name: "Your account" }).click();
  await page.getByRole("menuitem", { name: "Sign out" }).click();
  await onSignIn(page);
  await page.getByText("You are signed out.").waitFor();
  await onSignIn(other);
  assert.deepEqual(
    (await page.context().cookies()).map((c) => c.name),
    [],
  );
  await page.goBack(); // to the list as it was
  await onSignIn(page);
  assert.equal(await page.getByText("photos").count(), 0);
  await page.done();
});

test("one signs out at 360 pixels too", async () => {
  const page = await open("/services", { width: 360, height: 740 });
  await page.getByRole("button", { name: "Menu" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Your account" }).click();
  page.sessionEnds();
  await page.getByRole("menuitem", { name: "Sign out" }).click();
  await onSignIn(page);
  await page.done();
});

// For each role: what is there, and what the server answers to requests made all the same.
const here = {
  VIEWER: { launch: false, remove: false, reveal: false, deleteData: false, nodes: false, access: false },
  OPERATOR: { launch: true, remove: true, reveal: true, deleteData: false, nodes: false, access: false },
  ADMIN: { launch: true, remove: true, reveal: true, deleteData: true, nodes: true, access: true },
};
const asked = {
  launch: () => ['mutation { launchService(input: {kind: BUCKET, name: "Not A Name"}) { id } }'],
  remove: () => ['mutation { removeService(id: "none") { id } }'],
  reveal: () => ['mutation { revealCredentials(id: "none") { endpoint } }'],
  deleteData: () => ['mutation { removeService(id: "none", data: DELETE) { id } }'],
  nodes: () => ['mutation { removeNode(id: "none", forget: false) { id } }'],
  access: () => ["{ tokens { id } }"],
};

test("some data is kept", async () => {
  kept = await uws.launch("QUEUE", "old");
  await uws.gql("mutation ($id: ID!) { removeService(id: $id) { id } }", { id: kept });
  await until("its data is kept", async () => (await uws.gql("{ retainedData { id } }")).retainedData.length === 1);
});

for (const [role, may] of Object.entries(here)) {
  test(`${role}: what it may do is there, what it may not is neither there nor done`, async () => {
    const page = await open("/services", { as: role });
    const there = async (locator, yes) => assert.equal(await locator.count(), yes ? 1 : 0, `${locator}`);
    const go = (path) =>
      page.evaluate((to) => {
        history.pushState(null, "", to);
        dispatchEvent(new PopStateEvent("popstate"));
      }, path);

    await row(page, "photos").waitFor();
    await page.getByRole("group", { name: "Signed in" }).getByText(role, { exact: true }).waitFor();
    await there(page.getByRole("button", { name: "Launch New Service" }), may.launch);
    await there(page.getByRole("button", { name: "Remove photos" }), may.remove);
    await there(page.getByRole("button", { name: "More for photos" }), may.remove);
    await there(page.getByRole("columnheader", { name: "Actions" }), may.remove);
    await page.keyboard.press("n");
    if (may.launch) {
      await page.getByRole("dialog", { name: "Launch new service" }).waitFor();
      await page.keyboard.press("Escape");
      await page.getByRole("dialog").waitFor({ state: "detached" });
    }
    await row(page, "photos").getByRole("link").focus();
    await page.keyboard.press("Delete");
    if (may.remove) {
      await page.getByRole("dialog", { name: "Remove photos?" }).waitFor();
      await there(page.getByRole("radio", { name: /Delete its data/ }), may.deleteData);
      await page.keyboard.press("Escape");
      await page.getByRole("dialog").waitFor({ state: "detached" });
    }
    await page.keyboard.press("?");
    await page.getByRole("dialog", { name: "Keyboard shortcuts" }).waitFor(); // and no dialog of those before
    await there(page.getByText("Launch a new service"), may.launch);
    await page.keyboard.press("Escape");

    await go(`/services/${photos}?tab=connect`);
    await page.getByRole("region", { name: "Credentials" }).waitFor();
    await there(page.getByRole("button", { name: "Reveal" }), may.reveal);
    await there(page.getByRole("button", { name: "Change…" }), may.reveal);
    await there(page.getByRole("toolbar"), may.remove);
    await go(`/services/${photos}?tab=settings`);
    await page.getByText("Desired state").waitFor();
    await there(page.getByText("Remove this service"), may.remove);

    await go("/retained");
    await page.locator("[data-retained=old]").waitFor();
    await there(page.getByRole("button", { name: "Reattach…" }), may.launch);
    await there(page.getByRole("button", { name: "Delete…" }), may.deleteData);

    await go("/nodes");
    await page.getByRole("heading", { name: "local" }).waitFor();
    await there(page.getByRole("button", { name: "Register node" }), may.nodes);
    await there(page.getByRole("button", { name: "More for local" }), may.nodes);

    await there(page.getByRole("link", { name: "Sessions" }), true);
    await there(page.getByRole("link", { name: "Tokens" }), may.access);
    await there(page.getByRole("link", { name: "Audit log" }), may.access);
    await go("/access/audit");
    await page.getByRole("heading", { name: may.access ? "Audit log" : "Sessions", level: 1 }).waitFor();
    await page.done();

    for (const [deed, query] of Object.entries(asked)) {
      const { errors } = await uws.ask(uws.tokens[role], ...query());
      const refused = errors?.some((e) => e.extensions.code === "FORBIDDEN") ?? false;
      assert.equal(refused, !may[deed], `${deed}: ${JSON.stringify(errors)}`);
    }
  });
}

test("who is limited to kinds is offered those alone", async () => {
  const page = await open("/", { as: null });
  await onSignIn(page);
  await fillIn(page, await uws.loginLink("--role", "OPERATOR", "--name", "data team", "--kinds", "DB,NOSQL"));
  await page.getByRole("heading", { name: "Nothing is running yet" }).waitFor(); // photos is not there for them
  const nav = page.getByRole("navigation", { name: "Pages" });
  assert.equal(await nav.getByRole("link", { name: /Databases/ }).count(), 1);
  assert.equal(await nav.getByRole("link", { name: /Buckets/ }).count(), 0);
  await page.getByRole("button", { name: "Launch New Service" }).click();
  const dialog = page.getByRole("dialog", { name: "Launch new service" });
  await dialog.waitFor();
  assert.deepEqual(await dialog.getByRole("radio").evaluateAll((all) => all.map((r) => r.value)), ["DB", "NOSQL"]);
  await page.done();
});

test("a token made in the dashboard works; revoked there, it ends what it signed in", async () => {
  const page = await open("/access/tokens");
  await page.getByRole("button", { name: "Create token" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel("Name").fill(" ");
  await page.keyboard.press("Enter");
  await dialog.getByText("Enter a name.").waitFor();
  await dialog.getByLabel("Name").fill("deploys");
  await dialog.getByLabel("Role").selectOption("OPERATOR");
  await dialog.getByLabel("Bucket").check();
  await dialog.getByLabel("Ends").selectOption("In 7 days");
  await dialog.getByRole("button", { name: "Create token" }).click();
  const secret = await dialog.locator("[data-secret]").textContent();
  await dialog.getByRole("button", { name: "Copy the token" }).click();
  assert.equal(await page.evaluate(() => navigator.clipboard.readText()), secret);
  await dialog.getByRole("button", { name: "Done" }).click();
  await dialog.waitFor({ state: "detached" });
  assert.ok(!(await page.content()).includes(secret), "the secret is shown once");
  const item = page.locator("[data-token=deploys]");
  await item.getByText("OPERATOR").waitFor();
  await item.getByText(/Bucket · ends in 6 d · never used/).waitFor();

  const { data } = await uws.ask(secret, "{ viewer { name role kinds } }");
  assert.deepEqual(data.viewer, { name: "deploys", role: "OPERATOR", kinds: ["BUCKET"] });
  const other = await open("/buckets", { as: null });
  await onSignIn(other);
  await fillIn(other, secret);
  await row(other, "photos").waitFor();

  await item.getByRole("button", { name: "Revoke deploys" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Revoke token" }).click();
  await toastSays(page, "The token deploys is revoked");
  await item.waitFor({ state: "detached" });
  const began = Date.now();
  await onSignIn(other);
  await other.getByText(/Your session has ended/).waitFor();
  assert.ok(Date.now() - began < 5_000, `it took ${Date.now() - began} ms`);
  assert.equal(await other.getByText("photos").count(), 0);
  const refused = await uws.ask(secret, "{ viewer { name } }");
  assert.equal(refused.errors[0].extensions.code, "UNAUTHENTICATED");
  await page.done();
  await other.done();
});

test("a colleague comes in by a link, and their session can be ended", async () => {
  const page = await open("/access/sessions");
  await page.locator("[data-session]").filter({ hasText: "This browser" }).waitFor();
  await page.getByRole("button", { name: "Create login link" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel("Name").fill("carol");
  await dialog.getByRole("button", { name: "Create login link" }).click();
  const link = await dialog.locator("[data-secret]").textContent();
  assert.ok(link.startsWith(`${uws.url}/sign-in#`), link);
  await page.keyboard.press("Escape");
  await dialog.waitFor({ state: "detached" });

  const colleague = await open(link, { as: null });
  await colleague.getByRole("group", { name: "Signed in" }).getByText("carol").waitFor();
  await colleague.getByRole("link", { name: "Sessions" }).click();
  await colleague.locator("[data-session=carol]").getByText("This browser").waitFor();
  assert.equal(await colleague.locator("[data-session]").count(), 1, "a VIEWER sees their own");

  await page.reload();
  await page.getByRole("button", { name: "End the session of carol" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "End session" }).click();
  await onSignIn(colleague);
  await page.locator("[data-session=carol]").waitFor({ state: "detached" });
  await page.done();
  await colleague.done();
});

test("one's own session ends like any other", async () => {
  const page = await open("/access/sessions", { as: "VIEWER" });
  await page.getByRole("button", { name: "End this session" }).click();
  page.sessionEnds();
  await page.getByRole("dialog").getByRole("button", { name: "End session" }).click();
  await onSignIn(page);
  await page.done();
});

const roleIs = (page, role) =>
  page.getByRole("group", { name: "Signed in" }).getByText(role, { exact: true }).waitFor();
const comeBack = (page) => page.evaluate(() => document.dispatchEvent(new Event("visibilitychange")));
const deaf = () => addEventListener("storage", (event) => event.stopImmediatePropagation(), true);

/** Keeps what a page asks from the server until the test says go. */
async function hold(page, pattern) {
  let go;
  const ready = new Promise((done) => {
    go = done;
  });
  await page.route(pattern, async (route) => {
    await ready;
    await route.continue();
  });
  return go;
}

test("another session in the same browser is noticed at once", async () => {
  const page = await open("/", { as: "VIEWER" });
  await roleIs(page, "VIEWER");
  page.sessionEnds(); // what is asked while one session takes the place of the other is refused
  await signIn(page.context(), uws.tokens.ADMIN);
  await roleIs(page, "ADMIN");
  await page.done();
});

test("another session in the same browser is noticed when one comes back to a tab", async () => {
  const page = await open("/healthz", { as: "VIEWER" });
  await page.addInitScript(deaf); // the browser has put it to sleep
  await page.goto("/");
  await roleIs(page, "VIEWER");
  page.sessionEnds();
  const go = await hold(page, "**/graphql");
  await signIn(page.context(), uws.tokens.ADMIN);
  await comeBack(page);
  go();
  await roleIs(page, "ADMIN");
  await page.done();
});

test("a request while somebody signs in in another tab goes on in the new session", async () => {
  for (const keyComes of ["after the sign-in page", "before the sign-in page", "before the refusal"]) {
    const page = await open("/healthz", { as: "VIEWER" });
    if (keyComes !== "after the sign-in page") await page.addInitScript(deaf);
    await page.goto("/services");
    await roleIs(page, "VIEWER");
    page.sessionEnds();
    const context = page.context();
    const go = await hold(page, keyComes === "before the refusal" ? "**/graphql" : "**/sign-in");
    const left = page.waitForRequest("**/sign-in").catch(() => {});
    const key = await beginSession(context, uws.tokens.ADMIN); // from here on: the new cookie and the old key
    const asked = page.waitForRequest("**/graphql").catch(() => {});
    comeBack(page).catch(() => {}); // which does not answer if the page has asked for something by itself, and is leaving
    await Promise.race([asked, left]);
    if (keyComes === "after the sign-in page") {
      go();
      await onSignIn(page);
    } else if (keyComes === "before the sign-in page") await left;
    await keepKey(context, key);
    go();
    await roleIs(page, "ADMIN");
    assert.equal(new URL(page.url()).pathname, "/services", keyComes);
    await page.done();
  }
});

test("the audit log shows what was done and what was refused, and can be had whole", async () => {
  const page = await open("/access/audit");
  const lines = page.locator("[data-audit]");
  await lines.first().waitFor();
  await page.locator("[data-audit=createToken]", { hasText: "deploys" }).first().waitFor();
  await page.locator("[data-audit=revokeToken]").first().waitFor();
  assert.ok(!(await page.content()).includes("uwsl_"), "no secrets");

  // Services are named by name, also those that are gone by now.
  const revoked = page.locator("[data-audit=revokeToken]").getByText("deploys", { exact: true });
  await revoked.first().waitFor();

  await page.getByLabel("Action").selectOption("Launch");
  await page.waitForURL(/action=launchService/);
  await until("launches alone are left", () =>
    lines.evaluateAll((all) => all.length > 0 && all.every((l) => l.dataset.audit === "launchService")),
  );
  await page.getByLabel("Result").selectOption("FORBIDDEN");
  await page.waitForURL(/result=FORBIDDEN/);
  await until("the refusal alone is left", async () => (await lines.count()) === 1);
  await lines.getByText("VIEWER", { exact: true }).first().waitFor();
  await page.getByLabel("Who").fill("nobody of that name");
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: "Nothing matches" }).waitFor();

  const coming = page.waitForEvent("download");
  await page.getByRole("button", { name: "Download all" }).click();
  const download = await coming;
  const all = readFileSync(await download.path(), "utf8")
    .trim()
    .split("\n")
    .map(JSON.parse);
  assert.ok(all.some((e) => e.action === "launchService" && e.result === "OK"));
  await page.done();
});

test("the log goes on for as long as one asks for more", async () => {
  for (let i = 0; i < 60; i++) await uws.ask(uws.tokens.ADMIN, 'mutation { checkServiceHealth(id: "none") { at } }');
  const page = await open("/access/audit");
  await until("the first page is there", async () => (await page.locator("[data-audit]").count()) === 50);
  const lines = page.locator("[data-audit]");
  const older = page.getByRole("button", { name: "Load older entries" });
  for (let seen = 50; (await page.locator("[data-audit=launchService]").count()) === 0; seen = await lines.count()) {
    await older.click(); // it is there until the oldest entry is
    await until("more is there", async () => (await lines.count()) > seen);
  }
  await page.done();
});

test("the playground ends with the session", async () => {
  const page = await open("/playground");
  await page.getByText("totalCount").first().waitFor();
  page.sessionEnds();
  await page.context().clearCookies();
  await page.getByRole("button", { name: /Execute/ }).click();
  await onSignIn(page);
  await page.done();
});
