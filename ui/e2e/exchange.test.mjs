// The clients of a service are given another one, with real databases.
import assert from "node:assert/strict";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { folder, launchBrowser, openPage, toastSays, Uws, until } from "./harness.mjs";

let uws, browser, places;
before(async () => {
  places = folder();
  [uws, browser] = await Promise.all([Uws.start(), launchBrowser()]);
});
after(async () => {
  await browser?.close();
  await uws?.clear();
  rmSync(places, { recursive: true, force: true });
});

test("what an exchange does is shown before it begins, and clients reach the other service afterwards", async () => {
  const shop = await uws.launch("DB", "shop");
  const page = await openPage(browser, uws.url, `/databases/${shop}?tab=backups`);
  const exchange = page.getByRole("button", { name: "Exchange…" });
  const dialog = page.getByRole("dialog", { name: "Exchange shop for another service" });
  await exchange.click();
  await dialog.getByRole("button", { name: "Exchange" }).click();
  await dialog.getByRole("alert").getByText("There is no other service with this engine on the node.").waitFor();
  await dialog.getByRole("button", { name: "Cancel" }).click();

  const other = await uws.launch("DB", "other");
  await uws.launch("QUEUE", "jobs");
  const { endpoint } = await uws.service(shop);
  await exchange.click();
  await dialog.getByText("shop is stopped, keeps its data, and is named other.").waitFor();
  await dialog.getByText("other was not restored from a backup of shop: it has data of its own.").waitFor();
  assert.equal(await dialog.getByRole("option").count(), 1);
  assert.equal((await uws.service(shop)).name, "shop");
  await dialog.getByRole("button", { name: "Exchange" }).click();
  await toastSays(page, "shop is healthy");
  await until("clients reach the other one", async () => {
    const s = await uws.service(other);
    return s.name === "shop" && s.endpoint === endpoint && s.health === "HEALTHY";
  });
  await until("the first one is stopped", async () => (await uws.service(shop)).phase === "STOPPED");
  await page.done();
});

test("a service cannot be moved without another node", async () => {
  const { createBackupTarget } = await uws.gql(
    "mutation ($input: CreateBackupTargetInput!) { createBackupTarget(input: $input) { id } }",
    { input: { name: "disk", folder: join(places, "disk") } },
  );
  assert.ok(createBackupTarget.id);
  const id = await uws.launch("DB", "still");
  const page = await openPage(browser, uws.url, `/databases/${id}?tab=backups`);
  await page.getByRole("button", { name: "Move…" }).click();
  const dialog = page.getByRole("dialog", { name: "Move still to another node" });
  await dialog.getByRole("button", { name: "Stop and move" }).click();
  await dialog.getByRole("alert").getByText("There is no other node. Register one first.").waitFor();
  await page.done();
});
