// The user of a database from an older version is a superuser until an administrator takes that from it.
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { launchBrowser, openPage, repo, toastSays, Uws, until } from "./harness.mjs";

let uws, browser;
before(async () => {
  const older = ["--templates", join(repo, "test/e2e/testdata/older")];
  [uws, browser] = await Promise.all([Uws.start({ args: older }), launchBrowser()]);
});
after(async () => {
  await browser?.close();
  await uws?.clear();
});

test("what stops working is listed, and the user is no superuser afterwards", async () => {
  const id = await uws.launch("DB", "accounts");
  await uws.stop();
  uws.arguments = [];
  await uws.run();
  await until("it is healthy", async () => (await uws.service(id)).health === "HEALTHY");

  const page = await openPage(browser, uws.url, `/databases/${id}?tab=connect`);
  const superuser = page.getByRole("button", { name: "Superuser…" });
  await superuser.click();
  const dialog = page.getByRole("dialog");
  await dialog.getByText("What stops working").waitFor();
  assert.ok((await dialog.getByRole("listitem").count()) >= 5);
  await dialog.getByRole("button", { name: "Cancel" }).click();
  await dialog.waitFor({ state: "detached" });
  const codes = async () => {
    const query = "query ($id: ID!) { events(filter: {serviceId: $id}, first: 50) { nodes { reasonCode } } }";
    return (await uws.gql(query, { id })).events.nodes.map((e) => e.reasonCode);
  };
  assert.ok(!(await codes()).includes("ROTATION_REQUESTED"), "nothing was to be done yet");

  await superuser.click();
  await dialog.getByRole("button", { name: "Take superuser rights" }).click();
  await toastSays(page, "The user of accounts is no longer a superuser");
  assert.ok((await codes()).includes("ROTATED"));
  await superuser.waitFor({ state: "detached" }); // nothing is left to do
});
