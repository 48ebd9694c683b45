// What a store that was restored from an older copy does not know is adopted from the page of retained data.
import assert from "node:assert/strict";
import { cpSync, existsSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { launchBrowser, openPage, toastSays, Uws, until } from "./harness.mjs";

let uws, browser;
before(async () => {
  [uws, browser] = await Promise.all([Uws.start(), launchBrowser()]);
});
after(async () => {
  await browser?.close();
  await uws?.clear();
});

const store = () => join(uws.dir, "data");
const isStore = (name) => name.startsWith("uws.db");

/** Copies the store of a server that does not run. */
function copyStore(from, to) {
  for (const name of existsSync(to) ? readdirSync(to).filter(isStore) : []) rmSync(join(to, name));
  for (const name of readdirSync(from).filter(isStore)) cpSync(join(from, name), join(to, name));
}

test("an orphan is adopted, and is the same service as before", async () => {
  const old = join(uws.dir, "old");
  await uws.stop();
  copyStore(store(), old);
  await uws.run();
  const id = await uws.launch("BUCKET", "photos");
  const volumes = join(store(), "process", "volumes");
  await until("its volume is marked", () =>
    readdirSync(volumes).some((volume) => existsSync(join(volumes, volume, ".uws-volume"))),
  );
  const engine = uws.engines(id);
  await uws.stop();
  copyStore(old, store());
  await uws.run();

  const page = await openPage(browser, uws.url, "/retained");
  const orphan = page.locator("[data-orphan=photos]");
  await orphan.getByText("running").waitFor();
  await orphan.getByRole("button", { name: "Adopt" }).click();
  await toastSays(page, "photos is a service again");
  await orphan.waitFor({ state: "detached" });
  await until("it is healthy", async () => (await uws.service(id)).health === "HEALTHY");
  assert.deepEqual(uws.engines(id), engine, "it was restarted");
});

test("data without a service is listed, deleted once its name is typed, or kept as retained data", async () => {
  await uws.stop();
  const old = join(uws.dir, "older");
  copyStore(store(), old);
  await uws.run();
  const volumes = join(store(), "process", "volumes");
  const before = new Set(readdirSync(volumes));
  const ids = [];
  for (const name of ["kept", "lost"]) ids.push(await uws.launch("BUCKET", name));
  await until("their volumes are marked", () => {
    const made = readdirSync(volumes).filter((volume) => !before.has(volume));
    return made.length === 2 && made.every((volume) => existsSync(join(volumes, volume, ".uws-volume")));
  });
  for (const id of ids) {
    await uws.gql("mutation($id: ID!) { removeService(id: $id) { id } }", { id });
    await until("it is gone", async () => !(await uws.service(id)));
  }
  await uws.stop();
  copyStore(old, store());
  await uws.run();

  const page = await openPage(browser, uws.url, "/retained");
  const lost = page.locator("[data-orphan=lost]");
  await lost.getByText("data without a service").waitFor();
  await lost.getByRole("button", { name: "Delete…" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByRole("button", { name: "Delete data" }).click();
  await dialog.getByText("Type lost to confirm.").waitFor();
  await dialog.getByRole("textbox").fill("lost");
  await dialog.getByRole("button", { name: "Delete data" }).click();
  await toastSays(page, "The data of lost is deleted");
  await lost.waitFor({ state: "detached" });
  const kept = page.locator("[data-orphan=kept]");
  await kept.getByRole("button", { name: "Keep as retained data" }).click();
  await page.locator("[data-retained=kept]").waitFor();
  await kept.waitFor({ state: "detached" });
  await until(
    "the data of lost is gone",
    async () => readdirSync(volumes).filter((volume) => !before.has(volume)).length === 1,
  );
});
