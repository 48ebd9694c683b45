// What services and nodes use: charts, sparklines, bars of health, warnings. Curves and rates are those of a server that makes them
// up; that real engines are measured is seen with the real one.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { AxeBuilder } from "@axe-core/playwright";
import { startFake } from "../scripts/fake-server.mjs";
import { busyShare } from "../scripts/measure.mjs";
import { kill, launchBrowser, openPage, row, Uws, until } from "./harness.mjs";

let browser;
before(async () => {
  browser = await launchBrowser();
});
after(() => browser?.close());

const chart = (page, title) => page.locator(`[data-chart="${title}"]`);
const slider = (page, title) => chart(page, title).getByRole("slider");
const tip = (page) => page.locator("[data-chart-tip]");
const frames = (page) =>
  page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));

async function axe(page, found = []) {
  for (const theme of ["light", "dark"]) {
    await page.evaluate((t) => {
      document.documentElement.dataset.theme = t;
    }, theme);
    const { violations } = await new AxeBuilder({ page })
      .setLegacyMode(true)
      .withTags(["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"])
      .analyze();
    found.push(...violations.map((v) => `${theme}: ${v.id}: ${v.nodes.map((n) => n.target).join("; ")}`));
  }
  assert.deepEqual(found, []);
}

/** How many pixels of a canvas have a colour: 0 while nothing is drawn. */
const inked = (canvas) =>
  canvas.evaluate((c) => {
    const { data } = c.getContext("2d").getImageData(0, 0, c.width, c.height);
    let n = 0;
    for (let i = 3; i < data.length; i += 4) if (data[i] > 0) n++;
    return n;
  });

describe("charts", () => {
  let fake, page;
  before(async () => {
    fake = await startFake(10);
    const at = (seconds) => new Date(Date.now() - seconds * 1000).toISOString();
    const move = { subject: "SERVICE", serviceId: "s1", serviceName: "service-00001", kind: "DB", healthy: false };
    const ended = {
      ...move,
      previousPhase: "RUNNING",
      phase: "RESTARTING",
      previousHealth: "HEALTHY",
      health: "UNHEALTHY",
    };
    const begun = {
      ...move,
      previousPhase: "RESTARTING",
      phase: "STARTING",
      previousHealth: "UNHEALTHY",
      health: "STARTING",
    };
    fake.events.push({ ...begun, id: "e2", at: at(595), reason: "started", attempt: 1 });
    fake.events.push({ ...ended, id: "e1", at: at(600), reason: "killed", outOfMemory: true, attempt: 1 });
    page = await openPage(browser, fake.url, "/databases/s1?tab=usage", { reducedMotion: "reduce", height: 1600 });
    await chart(page, "CPU").waitFor();
  });
  after(() => fake?.close());

  test("each thing that is measured has a chart, with what it is now, at least and at most", async () => {
    const titles = await page.locator("[data-chart]").evaluateAll((all) => all.map((e) => e.dataset.chart));
    assert.deepEqual(titles, ["CPU", "Memory", "Disk", "Network", "Connections"]);
    for (const title of titles) {
      assert.ok((await inked(chart(page, title).locator("canvas"))) > 500, `${title} is empty`);
      assert.match(
        await chart(page, title).locator("[data-chart-summary]").textContent(),
        /\d.*, min .*\d.*, max .*\d/,
      );
    }
    assert.match(await slider(page, "Memory").getAttribute("aria-describedby"), /./);
  });

  test("what is not measured has none", async () => {
    const other = await openPage(browser, fake.url, "/queues/s3?tab=usage");
    await chart(other, "Network").waitFor();
    assert.equal(await chart(other, "Connections").count(), 0);
    await other.done();
  });

  test("the numbers of now are above them, with the engine's own", async () => {
    const meter = (name) => page.locator("[data-meter]").filter({ hasText: name });
    await meter("CPU").getByText("of 2 cores").waitFor();
    await meter("Memory").getByText("of 512 MiB").waitFor();
    assert.match(await meter("Connections").textContent(), /of 10023$/);
    await meter("Database").getByText("87.0 MiB").waitFor();
    await meter("Processes").getByText("7", { exact: true }).waitFor();
  });

  test("the pointer shows values and time, in all charts at once", async () => {
    const box = await slider(page, "CPU").boundingBox();
    await page.mouse.move(box.x + box.width - 60, box.y + 60);
    await tip(page)
      .getByText(/^\d\d:\d\d:\d\d$/)
      .waitFor();
    await tip(page)
      .getByText(/cores?$/)
      .waitFor();
    // The line of the cursor is in the others too.
    for (const title of ["Memory", "Network"]) {
      await until(`the cursor is in ${title}`, () =>
        chart(page, title)
          .locator(".u-cursor-x")
          .evaluate((e) => !e.classList.contains("u-off") && /translate\([1-9]/.test(e.style.transform)),
      );
    }
    await page.mouse.move(5, 5);
    await tip(page).waitFor({ state: "detached" });
  });

  test("the arrow keys do too, and say it", async () => {
    await slider(page, "Memory").focus();
    assert.match(await slider(page, "Memory").getAttribute("aria-valuetext"), /arrow keys/);
    await page.keyboard.press("End");
    const text = async () => {
      await frames(page);
      return slider(page, "Memory").getAttribute("aria-valuetext");
    };
    const last = await text();
    assert.match(last, /^\d\d:\d\d:\d\d: \d+ MiB/);
    await page.keyboard.press("ArrowLeft");
    assert.notEqual(await text(), last);
    await page.keyboard.press("Escape"); // hides the cursor; the service stays open
    await tip(page).waitFor({ state: "detached" });
    await chart(page, "Memory").waitFor();
  });

  test("restarts and failures are marked", async () => {
    await slider(page, "CPU").focus();
    await page.keyboard.press("End");
    for (let i = 0; i < 8; i++) {
      const text = await slider(page, "CPU").getAttribute("aria-valuetext");
      if (/out of memory/.test(text)) break;
      await page.keyboard.press("Shift+ArrowLeft");
      await frames(page);
    }
    await tip(page).getByText("Restarting: out of memory").waitFor();
    await tip(page).getByText("Restarted").waitFor();
    await page.keyboard.press("Escape");
  });

  test("gaps are gaps", async () => {
    await slider(page, "CPU").focus();
    await page.keyboard.press("Home");
    // A twelfth of the hour, from its third part on, was not measured: 120 steps of 10 s, and a few into it.
    for (let i = 0; i < 13; i++) await page.keyboard.press("Shift+ArrowRight");
    await frames(page);
    assert.match(await slider(page, "CPU").getAttribute("aria-valuetext"), /not measured/);
    await page.keyboard.press("Escape");
  });

  test("the newest measurement is added as it comes", async () => {
    // The whole history, which is loaded every minute, is held back.
    const isHistory = (route) => route.request().postData()?.includes("ServiceUseHistory");
    await page.route("**/graphql", (route) => (isHistory(route) ? undefined : route.continue()));
    const newest = () => slider(page, "CPU").getAttribute("aria-valuemax");
    const points = await newest();
    await slider(page, "CPU").focus();
    await page.keyboard.press("End");
    await frames(page);
    const text = await slider(page, "CPU").getAttribute("aria-valuetext");
    await page.keyboard.press("Escape");
    await until("there is a later step", async () => {
      fake.usage.measure();
      await page.keyboard.press("End");
      await frames(page);
      const now = await slider(page, "CPU").getAttribute("aria-valuetext");
      await page.keyboard.press("Escape");
      return now.slice(0, 8) !== text.slice(0, 8);
    });
    assert.equal(await newest(), points); // as many leave at the other end
    await page.unroute("**/graphql");
  });

  test("the range is in the address", async () => {
    await page.getByRole("group", { name: "Range" }).getByRole("button", { name: "30d" }).click();
    await page.waitForURL(/range=30d/);
    await page.locator("[data-range='30d']").waitFor();
    await page.reload();
    await page.locator("[data-range='30d'] canvas").first().waitFor();
    await page.getByRole("button", { name: "24h" }).click();
    await page.locator("[data-range='24h']").waitFor();
  });

  test("they fit, in another theme and a narrow window", async () => {
    await axe(page);
    await page.setViewportSize({ width: 360, height: 740 });
    await until("the charts are narrow", () =>
      chart(page, "CPU")
        .locator("canvas")
        .evaluate((c) => c.clientWidth > 200 && c.clientWidth < 340),
    );
    assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth));
    await page.done();
  });

  test("a service that was never measured says when the first values come", async () => {
    fake.usage.silent.add("s2");
    const silent = await openPage(browser, fake.url, "/services/s2?tab=usage");
    await silent.getByRole("heading", { name: "Not measured yet" }).waitFor();
    await silent.getByText("The first values come within 30 s of a start.").waitFor();
    await silent.done();
  });

  test("one that is stopped says so", async () => {
    const s = Object.assign(fake.services[4], { desiredState: "STOPPED", phase: "STOPPED", health: "UNKNOWN" });
    const stopped = await openPage(browser, fake.url, `/services/${s.id}?tab=usage`);
    await stopped.getByText("The service is stopped: it uses nothing but disk.").waitFor();
    await chart(stopped, "CPU").waitFor(); // what it used before stays
    await stopped.done();
  });
});

describe("sparklines", () => {
  let fake, page;
  before(async () => {
    fake = await startFake(5_000);
    page = await openPage(browser, fake.url, "/services");
    await row(page, "service-00000").waitFor();
  });
  after(() => fake?.close());

  const canvas = () => page.locator("canvas[data-sparks]");
  const drawn = async () => Number(await canvas().getAttribute("data-draws"));
  const rows = async () => Number(await canvas().getAttribute("data-rows"));

  test("only rows in sight are asked for, followed and drawn", async () => {
    await until("rows are drawn", async () => (await rows()) > 15);
    assert.ok((await rows()) < 50, `${await rows()} rows`);
    assert.ok(fake.usage.asked.ids.length < 50);
    assert.ok((await inked(canvas())) > 1_000);
    await until("they are followed", () => fake.usage.followers.size === 1);
    const [{ ids }] = fake.usage.followers;
    assert.equal(ids[0], "s0");
    assert.ok(ids.length < 50);
    await row(page, "service-00003").locator(".col-memory").getByText(/MiB$/).waitFor();
  });

  test("scrolling far asks once, for where it ends", async () => {
    const before = { ...fake.usage.asked };
    await page.locator("[data-scroller]").evaluate(async (e) => {
      for (let i = 1; i <= 30; i++) {
        e.scrollTop = (i / 30) * e.scrollHeight * 0.5;
        await new Promise(requestAnimationFrame);
      }
    });
    await row(page, "service-02499").waitFor();
    await row(page, "service-02499").locator(".col-memory").getByText(/MiB$/).waitFor();
    await until("those are drawn", async () => (await rows()) > 15);
    const asked = fake.usage.asked.histories - before.histories;
    assert.ok(asked <= 3, `asked ${asked} times`);
    assert.equal(fake.usage.followers.size, 1);
    // The canvas is where the rows are.
    const [line, first] = await Promise.all([canvas().boundingBox(), page.locator("[data-row]").first().boundingBox()]);
    assert.ok(Math.abs((line.y - first.y) % 44) < 1, `${line.y} and ${first.y}`);
  });

  test("measurements of many nodes are few drawings, and little work", async () => {
    await page.locator("[data-scroller]").evaluate((e) => {
      e.scrollTop = 0;
    });
    await row(page, "service-00000").waitFor();
    await until("they are followed", () => [...fake.usage.followers].some((f) => f.ids[0] === "s0"));
    // 10 times a second, from 5 nodes: far more than there is.
    let messages = 0;
    const timer = setInterval(() => {
      fake.usage.measure(5);
      messages += 5;
    }, 100);
    const seconds = 4;
    const from = await drawn();
    const { cpu, wall } = await busyShare(page, seconds);
    clearInterval(timer);
    const draws = (await drawn()) - from;
    assert.ok(messages > 50, `${messages} messages`);
    assert.ok(draws > 0 && draws <= 2 * seconds + 3, `${draws} drawings in ${seconds} s`);
    const percent = (share) => `${(share * 100).toFixed(1)} %`;
    console.log(
      `main thread with sparklines of 5,000 services, ${messages} messages in ${seconds} s: ${percent(cpu)}, by the clock ${percent(wall)}; ${draws} drawings`,
    );
  });

  test("they can be switched off, for good", async () => {
    await page.getByRole("button", { name: "Show resource use" }).click();
    await canvas().waitFor({ state: "detached" });
    assert.equal(await page.getByRole("columnheader", { name: "CPU" }).count(), 0);
    await until("nothing is followed", () => fake.usage.followers.size === 0);
    await page.reload();
    await row(page, "service-00000").waitFor();
    assert.equal(await canvas().count(), 0);
    await page.getByRole("button", { name: "Show resource use" }).click();
    await canvas().waitFor();
  });

  test("where there is no room for them, nothing is asked", async () => {
    await page.setViewportSize({ width: 700, height: 740 });
    await canvas().waitFor({ state: "detached" });
    await until("nothing is followed", () => fake.usage.followers.size === 0);
    await page.done();
  });

  test("the list has no faults for those who cannot see", async () => {
    const other = await openPage(browser, fake.url, "/services", { reducedMotion: "reduce" });
    await other.locator("canvas[data-sparks]").waitFor();
    await axe(other);
    await other.done();
  });
});

describe("health, warnings and nodes", () => {
  let fake;
  before(async () => {
    fake = await startFake(40);
    const since = new Date(Date.now() - 40 * 60_000).toISOString();
    const warn = (id, code, text) => fake.usage.warnings.set(id, [{ code, text, since }]);
    warn("s1", "MEMORY_HIGH", "It has used more than 90 % of its memory limit for 40 minutes.");
    warn("n1", "DISK_FILLING", "The disk is full in 40 hours.");
  });
  after(() => fake?.close());

  test("30 days of health are a bar each, and a year one for each week", async () => {
    const page = await openPage(browser, fake.url, "/services/s1", { reducedMotion: "reduce" });
    const health = page.getByRole("region", { name: "Health" });
    const bars = health.locator("[data-bar]");
    await bars.first().waitFor();
    assert.equal(await bars.count(), 30);
    const looks = new Set(await bars.evaluateAll((all) => all.map((b) => b.dataset.bar)));
    assert.deepEqual([...looks].sort(), ["down", "healthy", "none", "planned", "unknown"]);
    await health.getByText(/^\d\d\.\d\d % healthy, .* down, .* stopped on purpose, .* unknown$/).waitFor();
    await bars.nth(6).hover();
    await health.getByText("36 min down").waitFor();
    await page.mouse.move(5, 5);
    const slider = health.getByRole("slider");
    await slider.focus();
    await page.keyboard.press("End");
    await until("the last bar is read", async () => /100 % healthy/.test(await slider.getAttribute("aria-valuetext")));
    await axe(page);
    for (const [range, count] of [
      ["24h", 24],
      ["7d", 56],
      ["1y", 53],
      ["1h", 0],
    ]) {
      await health.getByRole("button", { name: range }).click();
      await page.waitForURL(new RegExp(`range=${range}`));
      await until(`${range} has ${count} bars`, async () => (await bars.count()) === count);
    }
    await health.getByRole("img").waitFor(); // the last hour, by its events
    await page.done();
  });

  test("warnings are in the list, the detail, the overview and at the node", async () => {
    const page = await openPage(browser, fake.url, "/services", { reducedMotion: "reduce" });
    await row(page, "service-00001")
      .getByText(/^Warning: It has used more than 90 %/)
      .waitFor({ state: "attached" });
    assert.equal(await page.locator("[data-warnings]").count(), 1);
    await row(page, "service-00001").getByRole("link").click();
    await page
      .getByRole("list", { name: "Warnings" })
      .getByText(/40 minutes/)
      .waitFor();
    await page.goto("/");
    const soon = page.getByRole("region", { name: /Needs attention soon/ });
    await soon.getByRole("heading", { name: "Needs attention soon 2" }).waitFor();
    await soon.getByText("The disk is full in 40 hours.").waitFor();
    await axe(page);
    await page.goto("/nodes");
    await page.getByRole("list", { name: "Warnings" }).getByText("The disk is full in 40 hours.").waitFor();
    await page.done();
  });

  test("a node shows what is used, promised and free, its services and its past", async () => {
    const page = await openPage(browser, fake.url, "/nodes", { reducedMotion: "reduce", height: 1400 });
    const room = page.locator("[data-room]");
    await room.getByText("3.4 of 8 cores used").waitFor();
    for (const words of ["services 2.1", "promised 6", "free 4.6", "free 20.8 GiB", "free 290 GiB"])
      await room.getByText(words, { exact: true }).waitFor();
    await page.getByRole("link", { name: "Use over time and by service" }).click();
    await page.waitForURL(/node=n1/);
    await chart(page, "CPU").waitFor();
    const shown = page.locator("[data-on-node]");
    await shown.first().waitFor();
    assert.equal(await shown.count(), 10);
    const amounts = await shown.evaluateAll((all) => all.map((e) => Number(/(\d{3}) MiB/.exec(e.textContent)[1])));
    assert.deepEqual(
      amounts,
      amounts.toSorted((a, b) => b - a),
    );
    await page.getByText("and 30 more").waitFor();
    await axe(page);
    await page.setViewportSize({ width: 360, height: 740 });
    await frames(page);
    assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth));
    await page.setViewportSize({ width: 1440, height: 900 });
    await shown.first().getByRole("link").click();
    await page.waitForURL(/tab=usage/);
    await page.done();
  });
});

describe("a real server", () => {
  let uws, id;
  before(async () => {
    uws = await Uws.start();
    id = await uws.launch("QUEUE", "orders");
  });
  after(() => uws?.clear());

  test("what an engine uses is seen within a minute, by who may only look too", async () => {
    const page = await openPage(browser, uws.url, `/queues/${id}?tab=usage`, { as: "VIEWER" });
    await page.locator("[data-meter]").filter({ hasText: "Memory" }).getByText(/MiB$/).waitFor();
    await chart(page, "Memory").waitFor();
    assert.match(await chart(page, "Memory").locator("[data-chart-summary]").textContent(), /MiB, min .* MiB, max/);
    await page.goto("/nodes");
    await page.locator("[data-room]").getByText(/cores/).first().waitFor();
    await page.getByRole("link", { name: "Use over time and by service" }).click();
    await page.locator("[data-on-node=orders]").getByText(/MiB/).waitFor();
    await page.goto("/services");
    await row(page, "orders").locator(".col-memory").getByText(/MiB$/).waitFor();
    await page.done();
  });

  test("the card of a crash has the last lines of the run, and the way to its log", async () => {
    await until("it is in a crash loop", async () => {
      for (const pid of uws.engines(id)) kill(pid);
      return (await uws.service(id)).phase === "CRASH_LOOP";
    });
    const page = await openPage(browser, uws.url, `/queues/${id}`, { as: "OPERATOR" });
    const tail = page.locator("[data-log-tail]");
    await tail.waitFor(); // in a crash loop it is open
    assert.match(await tail.textContent(), /nats-server/);
    await page.getByRole("button", { name: /The last \d+ lines of that run/ }).click();
    await tail.waitFor({ state: "detached" });
    await page.getByRole("link", { name: "Show the log of that run" }).first().click();
    await page.waitForURL(/tab=logs&run=/);
    await page.done();
    const viewer = await openPage(browser, uws.url, `/queues/${id}`, { as: "VIEWER" });
    await viewer.getByText("Crash loop").first().waitFor();
    await viewer.getByRole("region", { name: "Health" }).waitFor();
    assert.equal(await viewer.getByText(/of that run/).count(), 0);
    assert.equal(await viewer.locator("[data-log-tail], [data-log-line]").count(), 0);
    await viewer.done();
  });
});
