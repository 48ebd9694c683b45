// A copy of a data folder beside the original: the dashboard says that it is read-only.
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { folder, freePort, launchBrowser, openPage, Uws } from "./harness.mjs";

let browser;
const servers = [];
before(async () => {
  browser = await launchBrowser();
});
after(async () => {
  await browser?.close();
  for (const uws of servers) await uws.clear();
});

test("a banner says that the server is read-only, and the ways out", async () => {
  const original = await Uws.start();
  servers.push(original);
  await original.stop();
  const dir = folder();
  execFileSync("cp", ["-a", join(original.dir, "data"), join(dir, "data")]);
  const copy = await Uws.start({ port: await freePort(), dir, up: "/healthz" });
  servers.push(copy);
  let page = await openPage(browser, copy.url, "/");
  const banner = page.getByRole("alert").filter({ hasText: "Read-only." });
  await banner.filter({ hasText: "--moved" }).filter({ hasText: "--clone" }).waitFor();
  await page.done();
  await copy.stop();

  copy.arguments = ["--clone"];
  copy.up = "/readyz";
  await copy.run();
  page = await openPage(browser, copy.url, "/");
  await page.locator("[data-socket=live]:visible").waitFor();
  await page.getByRole("heading").first().waitFor();
  await page.getByText("Read-only.").waitFor({ state: "detached" });
  await page.done();

  // What was done from the command line is on the pages of activity and of the audit log.
  page = await openPage(browser, copy.url, "/activity");
  const event = page.getByRole("listitem").filter({ hasText: "Data folder" }).filter({ hasText: "Cloned" });
  await event
    .filter({ hasText: join(original.dir, "data") })
    .filter({ hasText: join(dir, "data") })
    .waitFor();
  await page.done();
  page = await openPage(browser, copy.url, "/access/audit");
  await page.getByRole("row").filter({ hasText: "Clone data folder" }).filter({ hasText: "command line" }).waitFor();
  await page.done();
});
