// Runs the real uws with real engines, and Debian's Chromium, for the tests beside this file.
import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import { chromium } from "playwright-core";

const execute = promisify(execFile);
export const repo = resolve(import.meta.dirname, "../..");
export const patience = 60_000; // ms that anything may take on a loaded machine

/** Calls check until it gives something true; fails with what it is about when it never does. */
export async function until(what, check, within = patience) {
  const end = Date.now() + within;
  for (;;) {
    const value = await check();
    if (value) return value;
    if (Date.now() > end) assert.fail(`not within ${within / 1000} s: ${what}`);
    await new Promise((done) => setTimeout(done, 50));
  }
}

export function freePort() {
  return new Promise((done, fail) => {
    const server = createServer().on("error", fail);
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => done(port));
    });
  });
}

/** A folder that the unprivileged users of engines can reach. */
export function folder() {
  const dir = mkdtempSync(join(tmpdir(), "uws-ui-"));
  chmodSync(dir, 0o755);
  return dir;
}

const binary = process.env.UWS_BINARY ?? join(repo, "build/uws");
const signIns = new Map(); // the tokens of each server, by its address

export class Uws {
  static async start({ port, dir = folder(), names = {}, up = "/readyz", args = [] } = {}) {
    const uws = new Uws();
    uws.up = up;
    uws.arguments = args; // more of serve's
    uws.dir = dir;
    uws.port = port ?? (await freePort());
    uws.url = `http://127.0.0.1:${uws.port}`;
    await uws.run();
    await uws.makeTokens(names);
    return uws;
  }

  /** A token of each role, with a name where it matters. */
  async makeTokens(names = {}) {
    const make = async (role) => {
      const name = names[role] ?? `${role.toLowerCase()}-${Math.random().toString(36).slice(2, 8)}`;
      return [role, await this.command("token", "create", "--name", name, "--role", role, "--quiet")];
    };
    this.tokens = Object.fromEntries(await Promise.all(["VIEWER", "OPERATOR", "ADMIN"].map(make)));
    signIns.set(this.url, this.tokens);
  }

  /** What a short command prints. It works on the data folder of this server. */
  async command(...args) {
    const { stdout } = await execute(binary, [...args, "--data-dir", join(this.dir, "data")]);
    return stdout.trim();
  }

  /** A login link, as for a person. */
  loginLink(...options) {
    return this.command("login-link", "-q", "--url", this.url, ...options);
  }

  async run() {
    const args = ["serve", "--listen", `127.0.0.1:${this.port}`, "--data-dir", join(this.dir, "data")];
    const engines = process.env.UWS_TEST_ENGINES ?? join(repo, "build/engines");
    this.output = "";
    this.process = spawn(binary, [...args, "--engines", engines, ...this.arguments]);
    for (const stream of [this.process.stdout, this.process.stderr]) {
      stream.on("data", (text) => {
        this.output += text;
      });
    }
    this.ended = new Promise((done) => this.process.once("exit", done));
    await until("uws is ready", async () => {
      assert.equal(this.process.exitCode, null, `uws ended:\n${this.output}`);
      return fetch(`${this.url}${this.up}`).then(
        (answer) => answer.ok,
        () => false,
      );
    });
  }

  async stop(signal = "SIGTERM") {
    this.process.kill(signal);
    await this.ended;
  }

  /** Ends uws and its engines, and removes the folder. */
  async clear() {
    if (this.process.exitCode === null) await this.stop("SIGKILL");
    for (const pid of this.engines()) kill(pid);
    rmSync(this.dir, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
  }

  async gql(query, variables = {}) {
    const { data, errors } = await this.ask(this.tokens.ADMIN, query, variables);
    assert.equal(errors, undefined, JSON.stringify(errors));
    return data;
  }

  /** The whole answer to who has a token. */
  async ask(token, query, variables = {}) {
    const answer = await fetch(`${this.url}/graphql`, {
      method: "POST",
      headers: { "Content-Type": "application/json", Authorization: `Bearer ${token}` },
      body: JSON.stringify({ query, variables }),
    });
    return answer.json();
  }

  /** Launches a service and waits until it is healthy. */
  async launch(kind, name) {
    const { launchService } = await this.gql(
      "mutation ($input: LaunchServiceInput!) { launchService(input: $input) { id } }",
      { input: { kind, name } },
    );
    await until(`${name} is healthy`, async () => (await this.service(launchService.id)).health === "HEALTHY");
    return launchService.id;
  }

  async service(id) {
    return (await this.gql("query ($id: ID!) { service(id: $id) { name phase health restarts endpoint } }", { id }))
      .service;
  }

  /** Pids of the processes that uws started for a service, or for all. */
  engines(service) {
    const found = [];
    for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
      let environ = "";
      try {
        environ = readFileSync(`/proc/${pid}/environ`, "utf8");
      } catch {
        continue; // it ended meanwhile
      }
      const own = environ.includes(`HOME=${this.dir}`);
      if (own && (!service || environ.split("\0").includes(`UWS_SERVICE=${service}`))) found.push(Number(pid));
    }
    return found;
  }
}

export function kill(pid, signal = "SIGKILL") {
  try {
    process.kill(pid, signal);
  } catch {
    // it is gone already
  }
}

export function launchBrowser(...more) {
  return chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: [
      "--headless",
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
      ...more,
    ],
  });
}

/**
 * A page that takes note of all it must not do: to ask another machine, to break the policy, to write errors. `faults` lists
 * it; done() fails when there is something. It is signed in with the server's token of a role, `as`; null is nobody.
 */
export async function openPage(
  browser,
  url,
  path,
  { theme = "light", width = 1440, height = 900, as = "ADMIN", ...more } = {},
) {
  const context = await browser.newContext({
    baseURL: url,
    colorScheme: theme,
    viewport: { width, height },
    permissions: ["clipboard-read", "clipboard-write"],
    ...more,
  });
  const token = as && signIns.get(url)?.[as];
  if (token) await signIn(context, token);
  const page = await context.newPage();
  page.setDefaultTimeout(patience);
  const faults = [];
  let expected = as ? [] : [notSignedIn]; // what the test itself brings about, such as a server that is away
  const note = (text) => {
    if (!expected.some((pattern) => pattern.test(text))) faults.push(text);
  };
  page.on("request", (request) => {
    const to = new URL(request.url());
    if (to.origin !== url && to.protocol !== "blob:") note(`request to ${to}`);
  });
  page.on("websocket", (socket) => {
    if (!socket.url().startsWith(`${url.replace("http", "ws")}/graphql`)) note(`WebSocket to ${socket.url()}`);
  });
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) note(`console: ${message.text()}`);
  });
  page.on("pageerror", (error) => note(`error: ${error.stack}`));
  await page.exposeFunction("cspReport", (text) => note(`policy: ${text}`));
  await page.addInitScript(() => {
    addEventListener("securitypolicyviolation", (e) => {
      window.cspReport(`${e.violatedDirective} forbids ${e.blockedURI} ${e.sourceFile}:${e.lineNumber} ${e.sample}`);
    });
  });
  await page.goto(path);
  return Object.assign(page, {
    faults,
    /** While the server is away, that it cannot be reached is no fault. */
    serverGoesAway: () => {
      expected = [
        ...expected,
        /ERR_CONNECTION_REFUSED|ERR_EMPTY_RESPONSE|ERR_CONNECTION_RESET|WebSocket connection to|ERR_TIMED_OUT|ERR_ABORTED/,
      ];
    },
    /** From here on the session ends, or somebody else's begins. */
    sessionEnds: () => {
      expected = [...expected, notSignedIn];
    },
    async done() {
      assert.deepEqual(faults, []);
      await context.close();
    },
  });
}

// Browsers log each answer that is an error.
const notSignedIn = /status of 401/;

/** Gives a browser the session that a secret is good for. */
export async function signIn(context, secret) {
  await keepKey(context, await beginSession(context, secret));
}

/** The first half of a sign-in: the browser has the cookie. Returns the key. */
export async function beginSession(context, secret) {
  const answer = await context.request.post("/auth/sign-in", { data: { secret } });
  assert.equal(answer.status(), 200, await answer.text());
  return (await answer.json()).sessionKey;
}

/** The second half: what the sign-in page does with the key. */
export async function keepKey(context, key) {
  const page = await context.newPage();
  await page.goto("/healthz");
  await page.evaluate((value) => localStorage.setItem("uws-session-key", value), key);
  await page.close();
}

export const row = (page, name) =>
  page.locator("[data-row]").filter({ has: page.getByRole("link", { name, exact: true }) });

/** Waits until a service's row shows this status. */
export async function rowShows(page, name, word) {
  await row(page, name).getByText(word, { exact: true }).first().waitFor();
}

export async function toastSays(page, text) {
  await page.locator("[data-toast]").filter({ hasText: text }).first().waitFor();
}
