// Every page, in both themes and down to 360 pixels: axe finds nothing, nothing sticks out, nothing comes from elsewhere.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { AxeBuilder } from "@axe-core/playwright";
import { launchBrowser, openPage, row, Uws, until } from "./harness.mjs";

let uws, browser, id;
before(async () => {
  [uws, browser] = await Promise.all([Uws.start(), launchBrowser()]);
  id = await uws.launch("BUCKET", "photos");
  const stopped = await uws.launch("QUEUE", "orders");
  await uws.gql("mutation ($id: ID!) { stopService(id: $id) { id } }", { id: stopped });
  const removed = await uws.launch("BUCKET", "archive");
  await uws.gql("mutation ($id: ID!) { removeService(id: $id) { id } }", { id: removed });
  await until("its data is kept", async () => (await uws.gql("{ retainedData { id } }")).retainedData.length === 1);
});
after(async () => {
  await browser?.close();
  await uws?.clear();
});

/** Each page with what must be there before it is looked at, and what is done on it first. */
const pages = () => [
  { name: "overview", path: () => "/", ready: (p) => p.getByRole("region", { name: "Services by kind" }) },
  { name: "services", path: () => "/services", ready: (p) => row(p, "photos") },
  { name: "a kind", path: () => "/buckets", ready: (p) => row(p, "photos") },
  {
    name: "a kind without services",
    path: () => "/databases",
    ready: (p) => p.getByRole("heading", { name: "No databases yet" }),
  },
  { name: "a service", path: () => `/services/${id}`, ready: (p) => p.getByRole("region", { name: "Health" }) },
  { name: "its events", path: () => `/services/${id}?tab=events`, ready: (p) => p.getByText("Launched").first() },
  {
    name: "its use",
    path: () => `/services/${id}?tab=usage`,
    ready: (p) => p.locator("[data-chart=Memory] canvas"),
  },
  {
    name: "its log",
    path: () => `/services/${id}?tab=logs`,
    ready: (p) => p.locator("[data-log] [data-line]").first(),
  },
  {
    name: "its log, for those who may not read it",
    as: "VIEWER",
    path: () => `/services/${id}?tab=logs`,
    ready: (p) => p.getByText("You need the role OPERATOR to read it."),
  },
  {
    name: "its log without a match",
    path: () => `/services/${id}?tab=logs&contains=nowhere`,
    ready: (p) => p.getByText("No line matches"),
  },
  {
    name: "its connections",
    path: () => `/services/${id}?tab=connect`,
    ready: (p) => p.getByRole("region", { name: /snippet/ }),
  },
  {
    name: "its settings",
    path: () => `/services/${id}?tab=settings`,
    ready: (p) => p.getByText("Remove this service"),
  },
  { name: "a service that is gone", path: () => "/services/none", ready: (p) => p.getByText("Service not found") },
  { name: "nodes", path: () => "/nodes", ready: (p) => p.getByRole("heading", { name: "local" }) },
  {
    name: "the use of a node",
    path: () => "/nodes",
    ready: (p) => p.getByRole("heading", { name: "local" }),
    act: async (p) => {
      await p.getByRole("link", { name: "Use over time and by service" }).click();
      await p.locator("[data-on-node]").first().waitFor();
      await p.locator("[data-chart=Disk] canvas").waitFor();
    },
  },
  { name: "activity", path: () => "/activity", ready: (p) => p.getByText("Launched").first() },
  { name: "retained data", path: () => "/retained", ready: (p) => p.locator("[data-retained=archive]") },
  {
    name: "launch",
    path: () => "/services",
    ready: (p) => row(p, "photos"),
    act: async (p) => {
      await p.keyboard.press("n");
      await p.getByRole("dialog").getByText("Health check").click();
      await p.getByRole("dialog").getByText("Size", { exact: true }).click();
      await p.getByLabel("Name", { exact: true }).fill("No");
      await p.keyboard.press("Enter");
      await p.getByText("Use lowercase letters.").waitFor();
    },
  },
  {
    name: "removal",
    path: () => `/services/${id}`,
    ready: (p) => p.getByRole("region", { name: "Health" }),
    act: async (p) => {
      await p.getByRole("toolbar").getByRole("button", { name: "Remove" }).click();
      await p.getByRole("radio", { name: /Delete its data/ }).check();
    },
  },
  {
    name: "registration of a node",
    path: () => "/nodes",
    ready: (p) => p.getByRole("heading", { name: "local" }),
    act: async (p) => {
      await p.getByRole("button", { name: "Register node" }).click();
      await p.getByLabel("Endpoint").fill("tcp://10.0.0.5:2376");
      await p.getByLabel("CA", { exact: true }).waitFor();
    },
  },
  {
    name: "sessions",
    path: () => "/access/sessions",
    ready: (p) => p.getByText("This browser").first(),
  },
  { name: "tokens", path: () => "/access/tokens", ready: (p) => p.locator("[data-token]").first() },
  {
    name: "a new token",
    path: () => "/access/tokens",
    ready: (p) => p.locator("[data-token]").first(),
    act: async (p) => {
      await p.getByRole("button", { name: "Create token" }).click();
      await p.getByLabel("Name").fill("");
      await p.keyboard.press("Enter");
      await p.getByText("Enter a name.").waitFor();
    },
  },
  {
    name: "a login link",
    path: () => "/access/sessions",
    ready: (p) => p.getByText("This browser").first(),
    act: async (p) => {
      await p.getByRole("button", { name: "Create login link" }).click();
      await p.getByLabel("Name").fill("a colleague");
      await p.keyboard.press("Enter");
      await p.locator("[data-secret]").waitFor();
    },
  },
  { name: "the audit log", path: () => "/access/audit", ready: (p) => p.locator("[data-audit]").first() },
  { name: "signing in", as: null, path: () => "/sign-in", ready: (p) => p.getByLabel("Login link or token") },
  {
    name: "signing in with what is used up",
    as: null,
    path: () => "/sign-in#uwsl_used",
    ready: (p) => p.getByText(/already used/),
  },
  {
    name: "keys",
    path: () => "/",
    ready: (p) => p.getByRole("region", { name: "Services by kind" }),
    act: (p) => p.keyboard.press("?"),
  },
];

/** What sticks out of a page as wide as the window, and cannot be scrolled into sight. */
const outside = (page) =>
  page.evaluate(() =>
    [...document.querySelectorAll("main *, [role=dialog] *")]
      .filter((e) => {
        const { left, right, width } = e.getBoundingClientRect();
        if (width < 2 || (left >= -1 && right <= innerWidth + 1)) return false;
        for (let p = e.parentElement; p; p = p.parentElement) {
          if (p.scrollWidth > p.clientWidth && ["auto", "scroll"].includes(getComputedStyle(p).overflowX)) return false;
        }
        return true;
      })
      .map((e) => e.outerHTML.slice(0, 120)),
  );

async function axe(page, name) {
  const { violations } = await new AxeBuilder({ page })
    .setLegacyMode(true) // there are no frames
    .withTags(["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"])
    .analyze();
  return violations.map((v) => `${name}: ${v.id}: ${v.nodes.map((n) => `${n.target} ${n.failureSummary}`).join("; ")}`);
}

for (const { name, path, ready, act, as = "ADMIN" } of pages()) {
  test(`${name}: axe finds nothing in light and dark, and nothing sticks out at 360 pixels`, async () => {
    // Without motion, so that nothing is looked at half faded in.
    const page = await openPage(browser, uws.url, path(), { as, reducedMotion: "reduce" });
    await ready(page).waitFor();
    await act?.(page);
    await until("nothing moves", () =>
      page.evaluate(() => document.getAnimations().every((a) => a.playState !== "running")),
    );
    const found = await axe(page, "light");
    await page.evaluate(() => {
      document.documentElement.dataset.theme = "dark";
    });
    found.push(...(await axe(page, "dark")));
    await page.setViewportSize({ width: 360, height: 740 });
    await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
    found.push(...(await outside(page)));
    if (await page.evaluate(() => document.documentElement.scrollWidth > innerWidth)) found.push("it scrolls sideways");
    assert.deepEqual(found, []);
    await page.done();
  });
}

test("at 360 pixels the menu leads to the pages, and a row's menu to removal", async () => {
  const page = await openPage(browser, uws.url, "/", { width: 360, height: 740 });
  await page.getByRole("button", { name: "Menu" }).click();
  await page.getByRole("dialog").getByRole("link", { name: "Buckets" }).click();
  await page.getByRole("dialog").waitFor({ state: "detached" });
  await row(page, "photos").getByRole("button", { name: "More for photos" }).click();
  await page.getByRole("menuitem", { name: "Remove…" }).click();
  await page.getByRole("dialog", { name: "Remove photos?" }).waitFor();
  await page.done();
});

test("controls are large enough to hit", async () => {
  const page = await openPage(browser, uws.url, `/services/${id}`, { width: 360, height: 740 });
  await page.getByRole("region", { name: "Health" }).waitFor();
  const small = await page.evaluate(() =>
    [...document.querySelectorAll("button, [role=tab], select, input")]
      .filter((e) => e.checkVisibility())
      .map((e) => [e.getAttribute("aria-label") ?? e.textContent, e.getBoundingClientRect()])
      .filter(([, box]) => box.width > 0 && (box.width < 24 || box.height < 24))
      .map(([name]) => name),
  );
  assert.deepEqual(small, []);
  await page.done();
});

test("the theme is the system's until one is chosen, and then stays", async () => {
  const page = await openPage(browser, uws.url, "/", { theme: "dark" });
  const theme = () => page.evaluate(() => document.documentElement.dataset.theme);
  assert.equal(await theme(), "dark");
  await page.emulateMedia({ colorScheme: "light" });
  await until("it follows the system", async () => (await theme()) === "light");
  await page.getByRole("button", { name: "Dark theme" }).click();
  assert.equal(await theme(), "dark");
  await page.reload();
  assert.equal(await theme(), "dark");
  await page.done();
});

test("motion stops for those who want none", async () => {
  const page = await openPage(browser, uws.url, "/services", { reducedMotion: "reduce" });
  await row(page, "photos").waitFor();
  const moving = await page.evaluate(() => {
    const probe = document.body.appendChild(Object.assign(document.createElement("i"), { className: "spin" }));
    const style = getComputedStyle(probe);
    return [style.animationDuration, style.animationIterationCount];
  });
  assert.deepEqual(moving, ["0.001s", "1"]);
  await page.done();
});

test("the policy forbids scripts of others, and text that becomes code", async () => {
  const page = await openPage(browser, uws.url, "/");
  const tried = await page.evaluate(() => {
    const element = document.createElement("div");
    try {
      element.innerHTML = "<b>text</b>";
      return "innerHTML was taken";
    } catch (error) {
      return error.name;
    }
  });
  assert.equal(tried, "TypeError");
  await until("it is reported", () => page.faults.some((f) => f.includes("trusted-types")));
  page.faults.length = 0;
  await page.done();
});

test("the playground works offline: queries, the schema's explorer, subscriptions", async () => {
  const page = await openPage(browser, uws.url, "/playground");
  await page.getByRole("tab", { name: /Services/ }).waitFor();
  await page.getByText("totalCount").first().waitFor(); // the editor is there
  await page.getByRole("button", { name: /Execute/ }).click();
  await page.getByText('"photos"').first().waitFor();
  await page.getByRole("button", { name: /Show Documentation/ }).click();
  await page
    .getByText("LaunchServiceInput")
    .or(page.getByRole("link", { name: "Mutation" }))
    .first()
    .waitFor();
  await page.getByRole("tab", { name: /Health/ }).click();
  await page.locator(".view-line", { hasText: "serviceHealthChanged" }).first().waitFor(); // else the tab before is executed
  await page.getByRole("button", { name: /Execute/ }).click();
  await page.getByRole("button", { name: /Stop/ }).waitFor();
  const { services } = await uws.gql('{ services(filter: {nameContains: "orders"}) { nodes { id } } }');
  // Whether the subscription stands already cannot be seen: so something happens until one message has come.
  await until("a message came", async () => {
    await uws.gql("mutation ($id: ID!) { restartService(id: $id) { id } }", { id: services.nodes[0].id });
    return page
      .getByText('"serviceHealthChanged"')
      .first()
      .waitFor({ timeout: 2_000 })
      .then(
        () => true,
        () => false,
      );
  });
  await page.done();
});
