// Backups, with real databases and a real repository: places for them, policies, backups as they are taken, and new services made
// from them.
import assert from "node:assert/strict";
import { readFileSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { AxeBuilder } from "@axe-core/playwright";
import { folder, launchBrowser, openPage, row, toastSays, Uws, until } from "./harness.mjs";

let uws, browser, shop, places;
before(async () => {
  places = folder();
  [uws, browser] = await Promise.all([Uws.start(), launchBrowser()]);
  shop = await uws.launch("DB", "shop");
});
after(async () => {
  await browser?.close();
  await uws?.clear();
  rmSync(places, { recursive: true, force: true });
});

const tab = () => `/databases/${shop}?tab=backups`;
const state = (page, word) => page.locator(`[data-backup-state=${word}]`).waitFor();
const backups = async (id = shop) =>
  (await uws.gql("query ($id: ID!) { backups(filter: {serviceId: $id}) { nodes { id state pinned } } }", { id }))
    .backups.nodes;
const complete = async (id) => (await backups(id)).filter((b) => b.state === "COMPLETE");

/** A target, by the API. */
const createTarget = async (name) => {
  const { createBackupTarget: t } = await uws.gql(
    "mutation ($input: CreateBackupTargetInput!) { createBackupTarget(input: $input) { id } }",
    { input: { name, folder: join(places, name) } },
  );
  return t.id;
};

test("without a place for backups, the tab and the page say what to do", async () => {
  const page = await openPage(browser, uws.url, tab());
  await state(page, "NONE");
  await page.getByText("There is no place for backups yet. Create a target first.").waitFor();
  await page.getByRole("link", { name: "Create a target" }).click();
  await page.getByRole("heading", { name: "No place for backups yet" }).waitFor();
  await page.getByRole("button", { name: "Create a target" }).waitFor();
  await page.goto("/");
  await page.getByText("Nothing is backed up").waitFor();
  await page.done();
});

test("a target is tried before it is made, what is wrong stands beside its field, and its kit is shown once it is asked for", async () => {
  const page = await openPage(browser, uws.url, "/backups");
  await page.getByRole("button", { name: "Create a target" }).click();
  const dialog = page.getByRole("dialog", { name: "Create a target" });
  await dialog.getByRole("button", { name: "Create target" }).click();
  await dialog.getByText("Enter a name.").waitFor();
  await dialog.getByText("Enter an absolute path, such as /mnt/backups.").waitFor();
  await dialog.getByLabel("Name", { exact: true }).fill("disk");
  await dialog
    .getByLabel("Folder", { exact: true })
    .last()
    .fill(join(uws.dir, "data", "backups"));
  await dialog.getByRole("button", { name: "Create target" }).click();
  const field = dialog.locator("input[aria-invalid=true]");
  await field.waitFor();
  assert.match(await dialog.getByRole("alert").textContent(), /must not be inside one another/);
  await field.fill(join(places, "disk"));
  await dialog.getByRole("button", { name: "Create target" }).click();

  const kit = page.getByRole("dialog", { name: "Recovery kit of disk" });
  await kit.getByRole("button", { name: "Later" }).click();
  const card = page.locator("[data-target=disk]");
  await card.getByText("Nobody has taken its recovery kit.").waitFor();
  await page.goto("/");
  await page.locator("[data-untaken=disk]").getByRole("link", { name: "Take it" }).click();

  await card.getByRole("button", { name: "Take the recovery kit…" }).click();
  await kit.getByRole("button", { name: "Show the kit" }).click();
  const text = await kit.locator("[data-kit]").textContent();
  assert.match(text, /^key: /m);
  await kit.getByText("Copy or download it before you close this dialog.").waitFor();
  const download = page.waitForEvent("download");
  await kit.getByRole("button", { name: "Download" }).click();
  const file = await download;
  assert.equal(file.suggestedFilename(), "recovery-kit-disk.txt");
  assert.equal(readFileSync(await file.path(), "utf8").trim(), text.trim());
  await kit.getByRole("button", { name: "Copy the recovery kit" }).click();
  assert.match(await page.evaluate(() => navigator.clipboard.readText()), /^key: /m);
  await kit.getByRole("button", { name: "Done" }).click();
  await card.getByRole("button", { name: "Recovery kit…" }).waitFor();
  assert.equal(await card.getByText("Nobody has taken its recovery kit.").count(), 0);

  await card.getByRole("button", { name: "Test" }).click();
  await toastSays(page, "disk works");
  await page.done();
});

test("a policy of its own has the service backed up; it is paused, changed and deleted", async () => {
  const page = await openPage(browser, uws.url, tab(), { timezoneId: "Europe/Berlin" });
  await page.getByRole("button", { name: "Set up a policy" }).click();
  const dialog = page.getByRole("dialog", { name: "Backup policy of shop" });
  assert.equal(await dialog.getByLabel("Time zone").inputValue(), "Europe/Berlin");
  await dialog.getByText("Every day at 03:00. The next time is").waitFor();
  await dialog.getByLabel("When", { exact: true }).selectOption("At other times");
  await dialog.getByLabel("Cron expression").fill("* * * * *");
  await dialog.getByLabel("Daily").fill("many");
  await dialog.getByRole("button", { name: "Set policy" }).click();
  await dialog.getByText("Enter a number.").waitFor();
  await dialog.getByLabel("Daily").fill("5");
  await dialog.getByRole("button", { name: "Set policy" }).click();
  await dialog.getByText(/at least 5m0s must lie between two backups/).waitFor(); // which only the server knows
  assert.equal(await dialog.getByLabel("Cron expression").getAttribute("aria-invalid"), "true");
  await dialog.getByLabel("Cron expression").fill("30 4 * * 1");
  await dialog.getByText("Every Monday at 04:30. The next time is Monday,").waitFor();
  await dialog.getByRole("button", { name: "Set policy" }).click();
  await toastSays(page, "The policy is set");

  const policy = page.locator("[data-policy=own]");
  await policy.getByText("every Monday at 04:30 (Europe/Berlin)").waitFor();
  await policy.getByText("the last 3, 5 daily, 4 weekly, 6 monthly").waitFor();
  await state(page, "OK");
  await until("its first backup is complete", async () => (await complete()).length === 1);
  await page.getByRole("list", { name: "Backups, newest first" }).getByText("scheduled").waitFor();

  await policy.getByRole("button", { name: "Pause" }).click();
  await policy.getByText("Paused: nothing is backed up").waitFor();
  await policy.getByRole("button", { name: "Resume" }).click();
  await policy.getByRole("button", { name: "Pause" }).waitFor();
  await policy.getByRole("button", { name: "Delete…" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Delete policy" }).click();
  await state(page, "NONE");
  await page.done();
});

test("a default policy for a kind applies to its services", async () => {
  const page = await openPage(browser, uws.url, "/backups");
  await page.getByRole("button", { name: "New default policy" }).click();
  const dialog = page.getByRole("dialog", { name: "New default policy" });
  await dialog.getByLabel("Database").check();
  await dialog.getByRole("button", { name: "Set policy" }).click();
  await page.getByRole("heading", { name: "For Database" }).waitFor();
  await page.getByText("Applies to 1 service.", { exact: true }).waitFor();
  await page.goto(tab());
  await page.locator("[data-policy=default]").waitFor();
  await state(page, "OK");
  await page.done();
});

/** Holds back what the server tells about a backup or restore, so that it can be seen under way. */
const slowly = (page) =>
  page.routeWebSocket(/graphql/, (socket) => {
    const server = socket.connectToServer();
    server.onMessage((text) => {
      const message = JSON.parse(text);
      const progress = message.payload?.data?.backupProgress;
      if (progress && progress.totalBytes === null && progress.bytes > 0) progress.totalBytes = progress.bytes * 2;
      socket.send(JSON.stringify(message));
    });
  });

test("a backup on request is seen under way and in the list; it is pinned, looked into, and deleted by an ADMIN alone", async () => {
  const page = await openPage(browser, uws.url, tab(), { as: "OPERATOR" });
  await state(page, "OK");
  const before = (await complete()).length;
  await page.getByRole("button", { name: "Back up now" }).click();
  const progress = page.locator("[data-progress]").filter({ hasText: "Backing up shop" });
  await progress.getByRole("button", { name: "Cancel" }).waitFor();
  await until("it is complete", async () => (await complete()).length === before + 1);
  const list = page.getByRole("list", { name: "Backups, newest first" });
  await list.getByText("requested").waitFor();
  await progress.waitFor({ state: "detached" });
  const [newest] = await complete();
  const item = page.locator(`[data-backup="${newest.id}"]`);
  assert.match(await item.textContent(), /MiB, .* new, took [\d.]+ s, no pause · requested · in disk/);

  await item.getByRole("button", { name: /^More/ }).click();
  assert.equal(await page.getByRole("menuitem", { name: /Delete/ }).count(), 0);
  await page.getByRole("menuitem", { name: "Pin", exact: true }).click();
  await item.getByText("Pinned").waitFor();

  await item.getByRole("button", { name: /^More/ }).click();
  await page.getByRole("menuitem", { name: "Contents…" }).click();
  const contents = page.getByRole("dialog", { name: "Contents of the backup of shop" });
  await contents.getByText(/^Database postgres/).waitFor();
  await page.keyboard.press("Escape");
  await contents.waitFor({ state: "detached" });
  await state(page, "OK"); // the service is still open
  await page.done();

  const admin = await openPage(browser, uws.url, tab());
  const more = admin.locator(`[data-backup="${newest.id}"]`).getByRole("button", { name: /^More/ });
  await more.click();
  const disabled = await admin.getByRole("menuitem", { name: "Delete (unpin it first)" }).getAttribute("aria-disabled");
  assert.equal(disabled, "true");
  await admin.getByRole("menuitem", { name: "Unpin", exact: true }).click();
  await admin.locator(`[data-backup="${newest.id}"]`).getByText("Pinned").waitFor({ state: "detached" });
  await more.click();
  await admin.getByRole("menuitem", { name: "Delete…" }).click();
  await admin.getByRole("dialog").getByRole("button", { name: "Delete backup" }).click();
  await toastSays(admin, "The backup is being deleted");
  await admin.done();
});

test("the timeline is moved through with the keyboard, and tells of each backup", async () => {
  await uws.gql("mutation ($id: ID!) { backUpService(id: $id) { id } }", { id: shop });
  await until("there are two", async () => (await complete()).length >= 2);
  const page = await openPage(browser, uws.url, tab());
  const line = page.getByRole("slider", { name: "Backups by time" });
  await line.focus();
  await page.keyboard.press("Home");
  const first = await line.getAttribute("aria-valuetext");
  assert.match(first, /UTC, [\d.]+ MiB, .* new, took .*, no pause, (proven, )?scheduled/);
  await page.keyboard.press("ArrowRight");
  assert.notEqual(await line.getAttribute("aria-valuetext"), first);
  await page.keyboard.press("ArrowLeft");
  assert.equal(await line.getAttribute("aria-valuenow"), "1");
  const oldest = page.locator("[data-backup][aria-current=true]");
  assert.equal(await oldest.getAttribute("data-backup"), (await complete()).at(-1).id);
  const box = await line.boundingBox();
  await page.mouse.move(box.x + box.width - 4, box.y + 20);
  await page
    .locator("[data-timeline]")
    .getByText(/requested|scheduled/)
    .waitFor();
  await page.done();
});

test("a backup is restored to a new service: the plan before, the progress also after a reload, and the link after", async () => {
  const page = await openPage(browser, uws.url, tab());
  await page
    .getByRole("button", { name: /^Restore the backup of/ })
    .first()
    .click();
  const dialog = page.getByRole("dialog", { name: "Restore shop" });
  const name = dialog.getByLabel("Name of the new service");
  assert.equal(await name.inputValue(), "shop-restored");
  const plan = dialog.getByRole("region", { name: "Plan" });
  assert.match(
    await plan.textContent(),
    /A new service shop-restored will be made on a node that has room with [\d.]+ MiB of data as of .* UTC\.\s*shop is not touched\.\s*It has the credentials that shop had then\./,
  );
  await name.fill("shop");
  await dialog.getByRole("button", { name: "Restore to a new service" }).click();
  await dialog.getByText("A service named shop already exists. Choose another name.").waitFor();
  await name.fill("shop-again");
  await dialog.getByLabel("Node").selectOption("local");
  await dialog.getByLabel("Replace its credentials once it works").check();
  assert.match(
    await plan.textContent(),
    /shop-again will be made on node local .*\s*.*\s*It gets new credentials once it works\./,
  );
  await dialog.getByRole("button", { name: "Restore to a new service" }).click();
  const begun = page.getByRole("dialog", { name: "Restore to shop-again" });
  await begun
    .getByText(/It goes on when you close this dialog\.|Complete/)
    .first()
    .waitFor();
  await page.reload();
  const item = page.locator("[data-restore=shop-again]");
  await item.getByRole("link", { name: "Open shop-again" }).click();
  await page.getByRole("heading", { name: "shop-again", level: 2 }).waitFor();
  await page.goto("/backups");
  await page.locator("[data-restore=shop-again]").getByRole("link", { name: "Open shop-again" }).waitFor();
  await page.done();
});

test("a restore is followed to its end in the wizard", async () => {
  const page = await openPage(browser, uws.url, tab());
  await slowly(page);
  await page
    .getByRole("button", { name: /^Restore the backup of/ })
    .first()
    .click();
  await page.getByRole("dialog").getByRole("button", { name: "Restore to a new service" }).click();
  const begun = page.getByRole("dialog", { name: "Restore to shop-restored" });
  await begun.getByText("Complete", { exact: true }).waitFor();
  await begun.getByRole("link", { name: "Open shop-restored" }).click();
  await page.getByRole("heading", { name: "shop-restored", level: 2 }).waitFor();
  const quarantine = page.getByRole("region", { name: "Quarantine" });
  assert.match(await quarantine.textContent(), /must not act as the original does: subscriptions are not followed/);
  await quarantine.getByRole("button", { name: "End quarantine" }).click();
  await quarantine.waitFor({ state: "detached" });
  await page.getByText("shop-restored is not in quarantine any more").waitFor();
  await page.done();
});

test("a database whose log is kept is restored to a moment between its backups", async () => {
  const id = await uws.launch("DB", "ledger");
  const input = {
    serviceId: id,
    targetId: await createTarget("log"),
    pointInTime: true,
    proveEvery: 0,
    finalBackup: false,
  };
  await uws.gql("mutation ($input: BackupPolicyInput!) { setBackupPolicy(input: $input) { id } }", { input });
  const query =
    "query ($id: ID!) { service(id: $id) { backup { restorableTo pointInTime } } backups(filter: {serviceId: $id}) { nodes { finishedAt } } }";
  let to;
  await until("it can be restored to a moment after its backup", async () => {
    const { service, backups } = await uws.gql(query, { id });
    if (!service.backup.pointInTime) return false;
    to = Date.parse(service.backup.restorableTo);
    return to >= Date.parse(backups.nodes[0].finishedAt) + 1_000;
  });
  const page = await openPage(browser, uws.url, `/databases/${id}?tab=backups`);
  await page.getByText(/to any moment from .* to /).waitFor();
  await page
    .getByRole("button", { name: /^Restore the backup of/ })
    .first()
    .click();
  const dialog = page.getByRole("dialog", { name: "Restore ledger" });
  const moment = dialog.getByLabel("Moment");
  const restore = dialog.getByRole("button", { name: "Restore to a new service" });
  await moment.fill("2099-01-01T00:00:00");
  await restore.click();
  await dialog.getByText(/The newest moment is .* UTC/).waitFor();
  await moment.fill("2020-01-01T00:00:00");
  await restore.click();
  await dialog.getByText(/The earliest moment is the end of a backup/).waitFor();
  await moment.fill(new Date(to).toISOString().slice(0, 19));
  await restore.click();
  const begun = page.getByRole("dialog", { name: "Restore to ledger-restored" });
  await begun.getByText("Complete", { exact: true }).waitFor();
  await page.done();
});

test("a backup is proven on request, and the report says what was compared", async () => {
  const page = await openPage(browser, uws.url, tab(), { as: "OPERATOR" });
  await page.locator("[data-backup]").first().getByRole("button", { name: /^More/ }).click();
  await page.getByRole("menuitem", { name: "Prove now" }).click();
  const report = page.getByRole("region", { name: "Last proof" });
  await report.locator("[data-proof=proven]").waitFor();
  assert.match(await report.textContent(), /was restored on trial: .+, in [\d.]+ s\./);
  await page.locator("[data-backup]").first().getByText("Proven").waitFor();
  await page.done();
});

test("a VIEWER sees backups, and has nothing to press", async () => {
  const page = await openPage(browser, uws.url, tab(), { as: "VIEWER" });
  await state(page, "OK");
  await page.locator("[data-backup]").first().waitFor();
  const panel = page.getByRole("tabpanel");
  assert.deepEqual(
    await panel.getByRole("button", { name: /Back up|Restore|Set|Change|Pause|Delete/ }).allInnerTexts(),
    [],
  );
  await panel.getByRole("button", { name: /^More/ }).first().click();
  assert.deepEqual(await page.getByRole("menuitem").allInnerTexts(), ["Contents…"]);
  await page.keyboard.press("Escape");
  await page.goto("/backups");
  await page.locator("[data-target=disk]").waitFor();
  assert.equal(
    await page.getByRole("button", { name: /Create|Take|Test|Recovery|New default|Change|Delete/ }).count(),
    0,
  );
  await page.done();
});

test("a target that is taken over brings its backups along", async () => {
  const id = await createTarget("vault");
  await uws.gql("mutation ($id: ID!, $t: ID) { backUpService(id: $id, targetId: $t) { id } }", { id: shop, t: id });
  await until("its backup is complete", async () => {
    const { backupTargets } = await uws.gql("{ backupTargets { name backupCount } }");
    return backupTargets.find((t) => t.name === "vault").backupCount === 1;
  });
  const { recoveryKit } = await uws.gql("mutation ($id: ID!) { recoveryKit(id: $id) { recoveryKit } }", { id });
  const page = await openPage(browser, uws.url, "/backups");
  const card = page.locator("[data-target=vault]");
  await card.getByRole("button", { name: "More for vault" }).click();
  await page.getByRole("menuitem", { name: "Delete…" }).click();
  const confirm = page.getByRole("dialog", { name: "Delete the target vault?" });
  await confirm.getByLabel(/Type vault to confirm/).fill("vault");
  await confirm.getByRole("button", { name: "Delete target" }).click();
  await card.waitFor({ state: "detached" });

  await page.getByRole("button", { name: "Take over" }).click();
  const dialog = page.getByRole("dialog", { name: "Take over a target" });
  await dialog.getByLabel("Name", { exact: true }).fill("vault-again");
  await dialog.getByLabel("Recovery kit", { exact: true }).fill("something else");
  await dialog.getByRole("button", { name: "Take over" }).click();
  await dialog.getByText(/This is no recovery kit/).waitFor();
  await dialog.getByLabel("Recovery kit", { exact: true }).fill(recoveryKit.recoveryKit);
  await dialog.getByRole("button", { name: "Take over" }).click();
  await toastSays(page, "vault-again is taken over");
  await page.locator("[data-target=vault-again]").getByText("1 backup ·").waitFor();
  await page.getByLabel("Target", { exact: true }).selectOption("vault-again");
  await until("its backup alone is listed", async () => (await page.locator("[data-backup]").count()) === 1);
  await page.done();
});

test("a target that fails is told of, and the services whose backups fail stand out, on the overview and in the list", async () => {
  const orders = await uws.launch("DB", "orders");
  await uws.launch("QUEUE", "mails"); // which no policy applies to
  await until("it is backed up", async () => (await complete(orders)).length === 1);
  const page = await openPage(browser, uws.url, "/services");
  await row(page, "mails").locator("[data-backup-mark=NONE]").waitFor({ state: "attached" });
  await row(page, "orders").locator("[data-backup-mark=OK]").waitFor();
  renameSync(join(places, "disk"), join(places, "away"));
  try {
    await uws.gql("mutation ($id: ID!) { backUpService(id: $id) { id } }", { id: orders });
    await until("it failed", async () => (await backups(orders)).some((b) => b.state === "FAILED"));
    await page.goto("/backups");
    const card = page.locator("[data-target=disk]");
    await card.getByRole("button", { name: "Test" }).click();
    await toastSays(page, "disk does not work");
    await card.getByText("Unreachable").waitFor();

    await page.goto(`/databases/${orders}?tab=backups`);
    await state(page, "FAILING");
    await page.getByText("Remove the cause, then back the service up now.").waitFor();
    await page.locator("[data-spot=FAILED]").waitFor({ state: "attached" });
    await page.goto("/");
    await page.getByText(/^\d+ services? with backup trouble$/).waitFor();
    await page.getByText("Target disk is unreachable").waitFor();
    await page.getByRole("region", { name: "Backups" }).getByRole("link", { name: "Show" }).click();
    await row(page, "orders").getByText("Backup failing").waitFor();
    assert.equal(await row(page, "mails").count(), 0);
    await page.getByRole("link", { name: /^Backup trouble \d+/ }).click();
    await row(page, "mails").waitFor();
  } finally {
    renameSync(join(places, "away"), join(places, "disk"));
  }
  await page.done();
});

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

const looks = [
  { name: "the tab", path: tab, ready: (p) => p.locator("[data-backup]").first() },
  { name: "the page", path: () => "/backups", ready: (p) => p.locator("[data-backup]").first() },
  {
    name: "the restore wizard",
    path: tab,
    ready: (p) => p.locator("[data-backup]").first(),
    act: async (p) => {
      await p
        .getByRole("button", { name: /^Restore the backup of/ })
        .first()
        .click();
      await p.getByRole("region", { name: "Plan" }).waitFor();
    },
  },
  {
    name: "the form of a policy",
    path: () => "/backups",
    ready: (p) => p.locator("[data-target=disk]"),
    act: async (p) => {
      await p.getByRole("button", { name: "New default policy" }).click();
      await p.getByLabel("When", { exact: true }).selectOption("At other times");
    },
  },
  {
    name: "the form of a target",
    path: () => "/backups",
    ready: (p) => p.locator("[data-target=disk]"),
    act: async (p) => {
      await p.getByRole("button", { name: "Create target" }).click();
      await p.getByRole("radio", { name: /Other S3/ }).check();
      await p.getByRole("dialog").getByRole("button", { name: "Create target" }).click();
      await p.getByText("Enter the access key.").waitFor();
    },
  },
];

for (const { name, path, ready, act } of looks) {
  test(`${name}: axe finds nothing in light and dark, and nothing sticks out at 320 pixels`, async () => {
    const page = await openPage(browser, uws.url, path(), { reducedMotion: "reduce" });
    await ready(page).waitFor();
    await act?.(page);
    await until("nothing moves", () =>
      page.evaluate(() => document.getAnimations().every((a) => a.playState !== "running")),
    );
    const found = [];
    for (const theme of ["light", "dark"]) {
      await page.evaluate((value) => {
        document.documentElement.dataset.theme = value;
      }, theme);
      const { violations } = await new AxeBuilder({ page })
        .setLegacyMode(true)
        .withTags(["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"])
        .analyze();
      found.push(
        ...violations.map(
          (v) => `${theme}: ${v.id}: ${v.nodes.map((n) => `${n.target} ${n.failureSummary}`).join("; ")}`,
        ),
      );
    }
    await page.setViewportSize({ width: 320, height: 700 });
    await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
    found.push(...(await outside(page)));
    if (await page.evaluate(() => document.documentElement.scrollWidth > innerWidth)) found.push("it scrolls sideways");
    assert.deepEqual(found, []);
    await page.done();
  });
}
