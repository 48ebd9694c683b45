// The dashboard behind nginx and behind Caddy, with the very configurations that docs/proxy.md gives.
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join, resolve } from "node:path";
import { after, before, describe, test } from "node:test";
import { folder, launchBrowser, openPage, row, rowShows, Uws, until } from "./harness.mjs";

const docs = readFileSync(resolve(import.meta.dirname, "../../docs/proxy.md"), "utf8");
const documented = (proxy) => new RegExp(`\`\`\`${proxy}\\n([\\s\\S]*?)\`\`\``).exec(docs)[1];
const command = /^uws serve (--listen .*)$/m.exec(docs)[1].split(" ");
const publicURL = "https://uws.example";

let uws, browser;
before(async () => {
  [uws, browser] = await Promise.all([
    Uws.start({ port: 8080, args: command.slice(2) }),
    launchBrowser("--host-resolver-rules=MAP uws.example 127.0.0.1"),
  ]);
});
after(async () => {
  await browser?.close();
  await uws?.clear();
});

/** Runs nginx with the configuration of the docs, but for the places of the certificate. */
function startNginx() {
  const dir = folder();
  const [certificate, key] = [join(dir, "uws.example.pem"), join(dir, "uws.example.key")];
  execFileSync("openssl", [
    ...["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1"],
    ...["-subj", "/CN=uws.example", "-out", certificate, "-keyout", key],
  ]);
  const own = documented("nginx")
    .replace("/etc/ssl/uws.example.pem", certificate)
    .replace("/etc/ssl/uws.example.key", key);
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(
    (name) => `${name}_temp_path ${dir}/${name};`,
  );
  writeFileSync(
    join(dir, "nginx.conf"),
    `user root; daemon off; pid ${dir}/pid; error_log stderr; events {}
     http { access_log off; types {} ${temporary.join(" ")} ${own} }`,
  );
  return listening(spawn("nginx", ["-p", dir, "-e", "stderr", "-c", join(dir, "nginx.conf")]));
}

/** Runs Caddy with the configuration of the docs, but for who signs the certificate. */
function startCaddy() {
  const dir = folder();
  const config = join(dir, "Caddyfile");
  writeFileSync(
    config,
    `{
      admin off
      local_certs
      skip_install_trust
      auto_https disable_redirects
    }
    ${documented("caddy")}`,
  );
  return listening(
    spawn("caddy", ["run", "--adapter", "caddyfile", "--config", config], {
      env: { ...process.env, HOME: dir, XDG_DATA_HOME: dir, XDG_CONFIG_HOME: dir },
    }),
  );
}

async function listening(child) {
  let output = "";
  child.stderr.on("data", (text) => {
    output += text;
  });
  await until("the proxy listens", () => {
    assert.equal(child.exitCode, null, output);
    return new Promise((done) => {
      const socket = connect(443, "127.0.0.1", () => done(socket.destroy()));
      socket.on("error", () => done(false));
    });
  });
  return child;
}

for (const [name, start] of Object.entries({ nginx: startNginx, Caddy: startCaddy })) {
  describe(`behind ${name}`, () => {
    const service = `orders-${name.toLowerCase()}`;
    let proxy, id;
    before(async () => {
      proxy = await start();
      id = await uws.launch("QUEUE", service);
    });
    after(async () => {
      const ended = new Promise((done) => proxy.once("exit", done));
      proxy.kill("SIGTERM");
      await ended;
    });

    test("a login link leads through the proxy, and the dashboard is live there", async () => {
      const link = await uws.command("login-link", "-q", "--name", name);
      assert.ok(link.startsWith(`${publicURL}/sign-in#`), link);
      const page = await openPage(browser, publicURL, link, { as: null, ignoreHTTPSErrors: true });
      await page.locator("[data-socket=live]:visible").waitFor();
      await page.goto("/services");
      await rowShows(page, service, "Healthy");
      const [cookie] = await page.context().cookies();
      assert.equal(cookie.secure, true);

      // What happens elsewhere arrives through the proxy's WebSocket.
      await uws.gql("mutation ($id: ID!) { stopService(id: $id) { id } }", { id });
      await rowShows(page, service, "Stopped");
      await row(page, service).waitFor();

      await page.goto("/playground");
      await page.getByRole("button", { name: "Execute query (Ctrl-Enter)" }).waitFor();
      await page.done();
    });

    test("what a proxy shows to everybody is the health, not the metrics", async () => {
      const context = await browser.newContext({ baseURL: publicURL, ignoreHTTPSErrors: true });
      const page = await context.newPage();
      for (const [path, status] of [
        ["/healthz", 200],
        ["/readyz", 200],
        ["/metrics", 401],
      ]) {
        assert.equal((await page.goto(path)).status(), status, path);
      }
      await context.close();
    });

    test("a path of a host is refused, with a reason", async () => {
      const extraHTTPHeaders = { "X-Forwarded-Prefix": "/uws" }; // of a proxy that takes the path away
      const context = await browser.newContext({ baseURL: publicURL, ignoreHTTPSErrors: true, extraHTTPHeaders });
      const page = await context.newPage();
      const answer = await page.goto("/");
      assert.equal(answer.status(), 403);
      assert.match(await answer.text(), /the proxy serves this under the path \/uws; uws needs a whole host/);
      await context.close();
    });
  });
}
