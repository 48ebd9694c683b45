// Makes the pictures in docs/screenshots: every page in light and dark, of real services, some of them in trouble.
import { mkdirSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { join, resolve } from "node:path";
import { folder, kill, launchBrowser, openPage, row, rowShows, Uws, until } from "./harness.mjs";

const out = resolve(import.meta.dirname, "../../docs/screenshots");
mkdirSync(out, { recursive: true });

const busyFor = 150_000; // ms, so that there is something to see on the charts of use

/** Publishes to a queue for a while, in waves. */
async function publish(id) {
  const { revealCredentials } = await uws.gql(
    "mutation ($id: ID!) { revealCredentials(id: $id) { endpoint values { name value } } }",
    { id },
  );
  const { hostname, port } = new URL(revealCredentials.endpoint);
  const { user, password: pass } = Object.fromEntries(revealCredentials.values.map((v) => [v.name, v.value]));
  const socket = connect(Number(port), hostname).on("error", () => {});
  socket.on("data", (text) => String(text).startsWith("PING") && socket.write("PONG\r\n"));
  socket.write(`CONNECT ${JSON.stringify({ user, pass, verbose: false })}\r\n`);
  const stream = JSON.stringify({ name: "orders", subjects: ["orders.>"], storage: "file", max_bytes: 2 ** 26 });
  socket.write(`PUB $JS.API.STREAM.CREATE.orders ${stream.length}\r\n${stream}\r\n`);
  const message = `PUB orders.new 1024\r\n${"x".repeat(1024)}\r\n`;
  for (const end = Date.now() + busyFor; Date.now() < end; ) {
    const wave = (1 + Math.sin(Date.now() / 9_000) * Math.sin(Date.now() / 31_000)) / 2;
    socket.write(message.repeat(Math.round(4_000 * wave ** 2)));
    await new Promise((done) => setTimeout(done, 200));
  }
  socket.destroy();
}

const places = folder(); // for backups
const uws = await Uws.start({ names: { ADMIN: "ada", OPERATOR: "deploys", VIEWER: "status board" } });
const browser = await launchBrowser();
try {
  const ids = {};
  for (const [kind, name] of [
    ["DB", "shop"],
    ["DB", "analytics"],
    ["BUCKET", "photos"],
    ["BUCKET", "backups"],
    ["QUEUE", "orders"],
    ["QUEUE", "mails"],
    ["NOSQL", "profiles"],
    ["SECRETS", "team-secrets"],
    ["BUCKET", "old-photos"],
  ]) {
    ids[name] = await uws.launch(kind, name);
  }
  await uws.gql("mutation ($id: ID!) { removeService(id: $id) { id } }", { id: ids["old-photos"] });
  await uws.gql("mutation ($id: ID!) { stopService(id: $id) { id } }", { id: ids.backups });
  // One heals, one does not: six failures within ten minutes are a crash loop.
  for (const pid of uws.engines(ids.orders)) kill(pid);
  await until("mails is in a crash loop", async () => {
    for (const pid of uws.engines(ids.mails)) kill(pid);
    return (await uws.service(ids.mails)).phase === "CRASH_LOOP";
  });
  await until("orders is back", async () => (await uws.service(ids.orders)).health === "HEALTHY");

  await publish(ids.orders);
  const [node] = (await uws.gql("{ nodes { id } }")).nodes;

  await uws.command(
    ...["token", "create", "--name", "backup job", "--role", "OPERATOR"],
    ...["--kinds", "BUCKET,DB", "--expires-in", "720h", "--quiet"],
  );
  await uws.ask(uws.tokens.VIEWER, "mutation ($id: ID!) { removeService(id: $id) { id } }", { id: ids.shop });
  await uws.ask(uws.tokens.OPERATOR, "mutation ($id: ID!) { checkServiceHealth(id: $id) { at } }", { id: ids.shop });

  const { createBackupTarget } = await uws.gql(
    "mutation ($input: CreateBackupTargetInput!) { createBackupTarget(input: $input) { id } }",
    { input: { name: "second-disk", folder: join(places, "second-disk") } },
  );
  await uws.gql("mutation ($input: BackupPolicyInput!) { setBackupPolicy(input: $input) { id } }", {
    input: { targetId: createBackupTarget.id, kinds: ["DB", "BUCKET"], timeZone: "Europe/Berlin" },
  });
  const backups = async () => {
    const query = "query ($id: ID!) { backups(filter: {serviceId: $id, state: COMPLETE}) { nodes { id } } }";
    return (await uws.gql(query, { id: ids.shop })).backups.nodes;
  };
  // Some minutes apart, so that they can be told apart on the timeline.
  for (let taken = 1; ; taken++) {
    await until(`backup ${taken} is complete`, async () => (await backups()).length === taken);
    if (taken === 3) break;
    await new Promise((done) => setTimeout(done, 90_000));
    await uws.gql("mutation ($id: ID!) { backUpService(id: $id) { id } }", { id: ids.shop });
  }
  await uws.gql("mutation ($id: ID!) { pinBackup(id: $id) { id } }", { id: (await backups())[1].id });

  const shots = {
    "sign-in": ["/sign-in", (p) => p.getByLabel("Login link or token").waitFor(), null],
    tokens: ["/access/tokens", (p) => p.locator("[data-token=deploys]").waitFor()],
    audit: ["/access/audit", (p) => p.locator("[data-audit]").first().waitFor()],
    overview: ["/", (p) => p.getByRole("region", { name: "Needs attention" }).waitFor()],
    services: ["/services", (p) => p.locator("[data-sparks]:not([data-rows='0'])").waitFor()],
    queues: ["/queues", (p) => p.locator("[data-sparks]:not([data-rows='0'])").waitFor()],
    service: [`/services/${ids.mails}`, (p) => p.getByRole("region", { name: "Health" }).waitFor()],
    usage: [`/queues/${ids.orders}?tab=usage`, (p) => p.locator("[data-chart=Memory] canvas").waitFor()],
    events: [`/services/${ids.orders}?tab=events`, (p) => p.getByText("Launched").first().waitFor()],
    logs: [`/services/${ids.shop}?tab=logs&wide=1`, (p) => p.locator("[data-log] [data-line]").first().waitFor()],
    backups: [`/services/${ids.shop}?tab=backups`, (p) => p.locator("[data-backup]").first().waitFor()],
    restore: [
      `/services/${ids.shop}?tab=backups`,
      async (p) => {
        await p
          .getByRole("button", { name: /^Restore the backup of/ })
          .nth(1)
          .click();
        await p.getByRole("region", { name: "Plan" }).waitFor();
      },
    ],
    targets: ["/backups", (p) => p.locator("[data-backup]").first().waitFor()],
    connect: [
      `/services/${ids.shop}?tab=connect`,
      async (p) => {
        await p.getByRole("button", { name: "Python", exact: true }).click();
      },
    ],
    settings: [`/services/${ids.shop}?tab=settings`, (p) => p.getByText("Remove this service").waitFor()],
    launch: [
      "/services",
      async (p) => {
        await row(p, "shop").waitFor();
        await p.keyboard.press("n");
        await p.getByLabel("Name", { exact: true }).fill("warehouse");
      },
    ],
    remove: [
      `/services/${ids.shop}`,
      async (p) => {
        await p.getByRole("toolbar").getByRole("button", { name: "Remove" }).click();
        await p.getByRole("dialog").waitFor();
      },
    ],
    nodes: [
      `/nodes?node=${node.id}`,
      async (p) => {
        await p.locator("[data-chart=CPU] canvas").waitFor();
        await p.locator("[data-on-node]").first().waitFor();
      },
    ],
    activity: ["/activity", (p) => p.getByText("Launched").first().waitFor()],
    retained: ["/retained", (p) => p.locator("[data-retained]").waitFor()],
    playground: [
      "/playground",
      async (p) => {
        await p.getByText("totalCount").first().waitFor(); // the editor is there
        await p.getByRole("button", { name: /Execute/ }).click();
        await p.getByText('"shop"').first().waitFor();
      },
    ],
  };
  for (const [name, [path, ready, as = "ADMIN"]] of Object.entries(shots)) {
    for (const theme of ["light", "dark"]) {
      const page = await openPage(browser, uws.url, path, { as, theme, height: 860, reducedMotion: "reduce" });
      await ready(page);
      await page.evaluate(() => document.fonts.ready);
      await page.screenshot({ path: join(out, `${name}-${theme}.png`) });
      await page.done();
      console.log(`docs/screenshots/${name}-${theme}.png`);
    }
  }
  const page = await openPage(browser, uws.url, "/services", {
    theme: "dark",
    width: 360,
    height: 740,
    reducedMotion: "reduce",
  });
  await rowShows(page, "mails", "Crash loop");
  await page.screenshot({ path: join(out, "phone-dark.png") });
  await page.done();
} finally {
  await browser.close();
  await uws.clear();
  rmSync(places, { recursive: true, force: true });
}
