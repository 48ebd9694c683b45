// A log of more lines than a page can hold: it opens at once, scrolls smoothly, follows, and never moves what is being read.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { startFake } from "../scripts/fake-server.mjs";
import { busyShare } from "../scripts/measure.mjs";
import { launchBrowser, openPage, until } from "./harness.mjs";

const many = 120_000;
const levels = ["DEBUG", "INFO", "INFO", "INFO", "WARNING", "ERROR"];
const made = (n, more) => ({ text: `line ${n} of the log`, level: levels[n % levels.length], ...more });

let fake, browser, page;
before(async () => {
  [fake, browser] = await Promise.all([startFake(3), launchBrowser()]);
  fake.log.write(Array.from({ length: many }, (_, i) => made(i)));
  page = await openPage(browser, fake.url, "/databases/s1?tab=logs");
  await newest(many - 1);
});
after(async () => {
  await browser?.close();
  await fake?.close();
});

const log = () => page.locator("[data-log]");
const newest = (n) => log().getByText(`line ${n} of the log`, { exact: true }).waitFor();
const state = (word) => page.locator(`[data-log-state=${word}]`).waitFor();
const write = (count, more) => {
  const from = fake.log.lines.length;
  fake.log.write(
    Array.from({ length: count }, (_, i) => made(from + i)),
    more,
  );
};
/** What is in sight: the texts of the rows with their places on the screen. */
const inSight = () =>
  log().evaluate((view) => {
    const { top, bottom } = view.getBoundingClientRect();
    return [...view.querySelectorAll("[data-line]")]
      .map((row) => ({ text: row.querySelector(".log-text").textContent, y: row.getBoundingClientRect().top }))
      .filter(({ y }) => y >= top && y < bottom)
      .sort((a, b) => a.y - b.y);
  });
const resting = () =>
  until("the rows rest", async () => {
    const one = JSON.stringify(await inSight());
    await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
    return one === JSON.stringify(await inSight());
  });
/** Scrolls up a little, as a person does. */
const pause = async () => {
  await log().hover();
  await page.mouse.wheel(0, -300);
  await state("paused");
};
const wrap = async (on) => {
  const button = page.getByRole("button", { name: "Wrap lines" });
  if ((await button.getAttribute("aria-pressed")) !== String(on)) await button.click();
};

test("a hundred thousand lines are loaded by scrolling up, and what is read stays in its place", async () => {
  await wrap(false);
  await pause();
  const count = async () => Number((await page.locator("[data-log-lines]").textContent()).replace(/\D/g, ""));
  // The page before is loaded while the oldest lines are looked at, and held back until these rest.
  let release = () => {};
  await page.route("**/graphql", async (route) => {
    if (route.request().postData()?.includes('"before":'))
      await new Promise((done) => {
        release = done;
      });
    await route.continue();
  });
  for (let loaded = 500; loaded < 3_000; loaded += 500) {
    const asked = page.waitForRequest((request) => request.postData()?.includes('"before":'));
    await log().evaluate((view) => {
      view.scrollTop = 200;
    });
    await asked;
    await resting();
    const before = await inSight();
    assert.ok(before.length > 10);
    release();
    await until(`more than ${loaded} lines are there`, async () => (await count()) > loaded);
    assert.deepEqual(await inSight(), before);
  }
  await page.unroute("**/graphql");
});

test("no line is missing or doubled where pages meet", async () => {
  const texts = await log().evaluate(async (view) => {
    const seen = new Map();
    for (view.scrollTop = 500; ; view.scrollTop += 300) {
      await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
      for (const row of view.querySelectorAll("[data-line]"))
        seen.set(row.querySelector(".log-text").textContent, Number(row.dataset.index));
      if (view.scrollTop + view.clientHeight >= view.scrollHeight - 2) return [...seen.keys()];
    }
  });
  const numbers = texts.map((text) => Number(/\d+/.exec(text)[0])).sort((a, b) => a - b);
  for (let i = 1; i < numbers.length; i++) assert.equal(numbers[i], numbers[i - 1] + 1);
  assert.equal(numbers.at(-1), many - 1);
  await state("following"); // the end was reached
});

test("live lines push out the oldest beyond a hundred thousand, and only rows in sight are rendered", async () => {
  for (let i = 0; i < 110; i++) write(1_000);
  await newest(fake.log.lines.length - 1);
  assert.equal(await page.locator("[data-log-lines]").textContent(), "100,000 lines");
  assert.ok((await log().locator("[data-line]").count()) < 100);
  await pause();
  await log().evaluate((view) => {
    view.scrollTop = view.scrollHeight / 2;
  });
  assert.ok((await inSight()).length > 10);
});

for (const wrapped of [false, true]) {
  test(`new lines never move what is read, ${wrapped ? "wrapped" : "cut"}`, async () => {
    await wrap(wrapped);
    await pause();
    await log().evaluate((view) => {
      view.scrollTop = view.scrollHeight / 2;
    });
    await resting();
    const before = await inSight();
    for (let i = 0; i < 5; i++) write(300);
    await page.getByRole("button", { name: "1,500 new lines – Follow" }).waitFor();
    assert.deepEqual(await inSight(), before);
    await page.getByRole("button", { name: /Follow/ }).click();
    await newest(fake.log.lines.length - 1);
    await state("following");
  });

  test(`a full log is followed and scrolled; how busy the main thread is, ${wrapped ? "wrapped" : "cut"}`, async (t) => {
    await wrap(wrapped);
    await newest(fake.log.lines.length - 1);
    const timer = setInterval(() => write(100), 100); // 1,000 lines a second, as messages come
    const following = await busyShare(page, 4);
    clearInterval(timer);
    await newest(fake.log.lines.length - 1);
    await pause();
    const scrolling = await busyShare(page, 4, () =>
      log().evaluate(async (view) => {
        const end = performance.now() + 4_000;
        while (performance.now() < end) {
          view.scrollTop -= 120;
          await new Promise(requestAnimationFrame);
        }
      }),
    );
    const percent = ({ cpu, wall }) => `${(cpu * 100).toFixed(1)} % (clock ${(wall * 100).toFixed(1)} %)`;
    t.diagnostic(`main thread with 100,000 lines, 1,000 lines/s followed: ${percent(following)}`);
    t.diagnostic(`main thread with 100,000 lines, scrolled by 120 pixels a frame: ${percent(scrolling)}`);
    await page.getByRole("button", { name: /Follow/ }).click();
    await state("following");
  });
}

test("where lines were left out, it says how many, and loads them", async () => {
  write(50, { dropped: 40 });
  const gap = page.locator("[data-gap=dropped]");
  await gap.getByText("40 lines were left out").waitFor();
  const missing = fake.log.lines.length - 20;
  assert.equal(await log().getByText(`line ${missing} of the log`, { exact: true }).count(), 0);
  await gap.getByRole("button", { name: "Load them" }).click();
  await gap.waitFor({ state: "detached" });
  await log().evaluate((view) => {
    view.scrollTop = view.scrollHeight - view.clientHeight - 300;
  });
  await newest(missing);
});

test("a broken connection goes on by itself: no line is missing, none is there twice", async () => {
  page.serverGoesAway();
  await log().focus();
  await page.keyboard.press("End");
  await state("following");
  const from = fake.log.lines.length;
  write(5);
  await newest(from + 4);
  fake.disconnect();
  write(5); // nobody receives it
  await newest(from + 9);
  write(1);
  await newest(from + 10);
  const texts = (await inSight()).map(({ text }) => Number(/\d+/.exec(text)[0])).filter((n) => n >= from);
  assert.deepEqual(
    texts,
    Array.from({ length: 11 }, (_, i) => from + i),
  );
});

test("lines that want to be more than text are text", async () => {
  fake.log.write([
    { text: '<img src=x onerror="alert(1)"><script>alert(2)</script>' },
    { text: "שלום עולם مرحبا بالعالم", level: null },
    { text: "x".repeat(32_768), level: "ERROR" },
    { text: "the end of the hostile ones" },
  ]);
  await wrap(false);
  await log().getByText("the end of the hostile ones").waitFor();
  await log().getByText('<img src=x onerror="alert(1)">').waitFor();
  assert.equal(await log().locator("img, script").count(), 0);
  const shape = await log().evaluate((view) => ({
    sideways: view.scrollWidth > view.clientWidth,
    heights: [...view.querySelectorAll("[data-line]")].map((row) => row.getBoundingClientRect().height),
  }));
  assert.equal(shape.sideways, false);
  assert.deepEqual([...new Set(shape.heights)], [20]);
  await wrap(true);
  const long = log().locator("[data-level=ERROR]").last();
  await until("the long line is there as a whole", async () => (await long.boundingBox())?.height > 1_000);
  assert.equal(await log().evaluate((view) => view.scrollWidth > view.clientWidth), false);
});

test("nothing was complained about", async () => {
  await page.done();
});
