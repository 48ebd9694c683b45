// Five thousand services: the list scrolls, filters and sorts at once, and keeps up with what changes.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { change, startFake } from "../scripts/fake-server.mjs";
import { launchBrowser, openPage, until } from "./harness.mjs";

let fake, browser, page;
before(async () => {
  [fake, browser] = await Promise.all([startFake(5_000), launchBrowser()]);
  page = await openPage(browser, fake.url, "/services");
  await page.locator("[data-row]").first().waitFor();
});
after(async () => {
  await browser?.close();
  await fake?.close();
});

const first = () => page.locator("[data-row]").first();
const rendered = () => page.locator("[data-row]").count();

test("only what is in sight is rendered, wherever one scrolls to", async () => {
  assert.equal(await page.getByRole("table").getAttribute("aria-rowcount"), "5001");
  for (const share of [0.5, 1, 0.25]) {
    await page.locator("[data-scroller]").evaluate((e, s) => {
      e.scrollTop = e.scrollHeight * s;
    }, share);
    const near = String(Math.floor(share * 4_990))
      .padStart(5, "0")
      .slice(0, 3);
    await page
      .locator("[data-row]", { hasText: new RegExp(`service-${near}`) })
      .first()
      .waitFor();
    assert.ok((await rendered()) < 60, `${await rendered()} rows are rendered`);
  }
  await page.locator("[data-scroller]").evaluate((e) => {
    e.scrollTop = 0;
  });
  await first().getByText("service-00000").waitFor();
});

test("the keyboard reaches the last row and the first", async () => {
  await first().getByRole("link").focus();
  await page.keyboard.press("End");
  await until("the last row has the focus", () =>
    page.evaluate(() => document.activeElement.textContent === "service-04999"),
  );
  await page.keyboard.press("Home");
  await until("the first row has the focus", () =>
    page.evaluate(() => document.activeElement.textContent === "service-00000"),
  );
});

test("filtering and sorting are done at once", async () => {
  // By the page's own clock, until the first row is another one.
  const took = () =>
    page.evaluate(async () => {
      const [button] = [...document.querySelectorAll("[role=columnheader] button")].filter(
        (b) => b.textContent === "Restarts",
      );
      const top = () => document.querySelector("[data-row]").dataset.row;
      const [begin, before] = [performance.now(), top()];
      button.click();
      while (top() === before && performance.now() - begin < 10_000) await new Promise(requestAnimationFrame);
      return performance.now() - begin;
    });
  fake.tell([Object.assign(fake.services[2_500], { restarts: 7 })]);
  await page.getByRole("columnheader", { name: "Restarts" }).getByRole("button").click();
  await page.waitForURL(/sort=restarts/);
  for (const top of ["service-02500", "service-00000"]) {
    const ms = await took();
    await first().getByText(top).waitFor();
    assert.ok(ms < 1_000, `sorting took ${ms} ms`);
  }
  await page.getByRole("searchbox").fill("service-0123");
  await until("ten are left", async () => (await page.getByRole("table").getAttribute("aria-rowcount")) === "11");
  await page.getByRole("searchbox").fill("");
  await until("all are back", async () => (await page.getByRole("table").getAttribute("aria-rowcount")) === "5001");
});

test("rows and counts follow thousands of changes", async () => {
  const link = page.getByRole("navigation", { name: "Filter by status" }).getByRole("link", { name: /Unhealthy/ });
  for (let i = 0; i < 40; i++)
    fake.tell(Array.from({ length: 100 }, (_, j) => change(fake.services[(i * 97 + j * 31) % 5_000])));
  const unhealthy = fake.services.filter((s) => !s.healthy).length;
  await until("the count is right", async () => (await link.textContent()).endsWith(` ${unhealthy}`));
  await link.click();
  await until(
    "the list is right",
    async () => (await page.getByRole("table").getAttribute("aria-rowcount")) === String(unhealthy + 1),
  );
  await page.done();
});
