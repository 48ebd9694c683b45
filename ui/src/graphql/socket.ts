import { type Client, createClient } from "graphql-ws";
import { createStore } from "../lib/store";
import { credentials, sessionKey } from "./sessionkey";

export type SocketState = "connecting" | "live" | "offline";

const keepAlive = 10_000; // ms between pings
const pongWithin = 5_000; // ms until a silent socket is given up
const fastest = 300; // ms before the first reconnect
const slowest = 10_000; // ms between reconnects at most

/** The state of the app's connection. */
export const socketState = createStore<SocketState>("connecting");
const become = socketState.set;
const forbidden = 4403; // the close code for who is not signed in, or is not any more
let onNobody = (_key: string) => {};

/** Calls then, with the session key that was sent, when the server ends the connection because nobody is signed in. */
export function onForbidden(then: (key: string) => void) {
  onNobody = then;
}

/** Cuts a wait before a reconnect short. */
let hurry = () => {};

/** Milliseconds before reconnect number `retries`, between half and all of the doubled delay. */
export function delayFor(retries: number, random = Math.random): number {
  const longest = Math.min(slowest, fastest * 2 ** Math.min(retries, 10));
  return longest * (0.5 + random() / 2);
}

function wait(retries: number): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, delayFor(retries));
    hurry = () => {
      clearTimeout(timer);
      resolve();
    };
  });
}

let socket: Client | undefined;
let pongTimer: ReturnType<typeof setTimeout> | undefined;

/** Returns the app's only connection. It reconnects until the page is closed. */
export function connect(): Client {
  if (socket) return socket;
  let key = "";
  const scheme = location.protocol === "https:" ? "wss:" : "ws:";
  const client = createClient({
    url: `${scheme}//${location.host}/graphql`,
    connectionParams: () => {
      key = sessionKey();
      return credentials(key);
    },
    lazyCloseTimeout: 3_000,
    retryAttempts: Number.POSITIVE_INFINITY,
    shouldRetry: () => true,
    retryWait: wait,
    keepAlive,
    on: {
      connected: () => become("live"),
      closed: (event) => {
        clearTimeout(pongTimer);
        if ((event as CloseEvent).code === forbidden) onNobody(key);
        become("offline");
      },
      error: () => become("offline"),
      ping: (received) => {
        if (received) return;
        clearTimeout(pongTimer);
        pongTimer = setTimeout(() => client.terminate(), pongWithin);
      },
      pong: (received) => {
        if (received) clearTimeout(pongTimer);
      },
    },
  });
  socket = client;
  wake(client);
  return client;
}

/**
 * After sleep, a frozen tab or another network the socket may be dead without anybody having told us: a fetch that takes
 * long or fails says so at once, long before the next ping would.
 */
function wake(client: Client) {
  let last = Date.now();
  setInterval(() => {
    const now = Date.now();
    if (now - last > keepAlive + pongWithin) check(); // the clock jumped: we slept
    last = now;
  }, 2_000);

  const check = async () => {
    if (socketState.get() === "offline") {
      hurry();
      return;
    }
    try {
      await fetch("/healthz", { cache: "no-store", signal: AbortSignal.timeout(2_000) });
    } catch {
      client.terminate();
    }
  };
  document.addEventListener("visibilitychange", () => {
    if (document.visibilityState === "visible") void check();
  });
  addEventListener("online", () => void check());
  addEventListener("pageshow", (event) => {
    if (event.persisted) client.terminate();
  });
  addEventListener("offline", () => {
    // Loopback does not need a network: the ping decides.
    void check();
  });
}

/** For the button of the banner: try again now. */
export function reconnectNow() {
  hurry();
}
