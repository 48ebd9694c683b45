import { Link, Outlet, useRouter } from "@tanstack/react-router";
import { HardDrive, Keyboard, Menu, Moon, Sun } from "lucide-react";
import { type ReactNode, useEffect, useState } from "react";
import { Button, IconButton } from "../components/Button";
import { cx } from "../components/cx";
import { lazyPart } from "../components/Lazy";
import { Mark } from "../components/Status";
import { reconnectNow } from "../graphql/socket";
import { isOutdated, prefetch } from "../lib/chunks";
import { toggleTheme, useTheme } from "../lib/theme";
import { dialogs, type Open, useDialog } from "../model/dialogs";
import { useSocketState } from "../model/hooks";
import { listenForKeys } from "./keys";
import { Nav } from "./Nav";
import { Person } from "./Person";

const Dialogs = lazyPart<{ open: Open }>(
  () => import("./Dialogs").then((m) => m.default),
  () => null,
  dialogs.close,
);

/** What surrounds every page: the ways to the others, and the state of the connection. */
export function Shell({ banner }: { banner?: ReactNode }) {
  const router = useRouter();
  const open = useDialog();
  useEffect(() => listenForKeys(router), [router]);
  useEffect(() => void prefetch(), []);
  useEffect(
    () => router.subscribe("onBeforeNavigate", () => dialogs.get()?.type === "nav" && dialogs.close()),
    [router],
  );
  return (
    <div className="flex h-full flex-col lg:flex-row">
      <a
        href="#main"
        className="sr-only z-70 rounded-md bg-accent px-4 py-2 font-semibold text-on-accent focus:not-sr-only focus:fixed focus:top-2 focus:left-2"
      >
        Skip to content
      </a>
      <aside className="hidden w-56 shrink-0 flex-col border-r border-line bg-surface lg:flex">
        <Brand className="px-4 py-3.5" />
        <div className="min-h-0 flex-1 overflow-y-auto">
          <Nav />
        </div>
        <div className="border-t border-line px-3 py-2">
          <Person />
          <div className="mt-1 flex items-center justify-between">
            <Connection />
            <Tools />
          </div>
        </div>
      </aside>
      <div className="flex items-center gap-2 border-b border-line bg-surface px-3 py-2 lg:hidden">
        <IconButton label="Menu" onClick={() => dialogs.open({ type: "nav" })} aria-haspopup="dialog">
          <Menu size={18} aria-hidden="true" />
        </IconButton>
        <Brand className="mr-auto" />
        <Connection />
        <Tools />
      </div>
      <main id="main" tabIndex={-1} className="flex min-h-0 min-w-0 flex-1 flex-col">
        {banner}
        <OfflineBanner />
        <UpdateBanner />
        <div className="min-h-0 flex-1">
          <Outlet />
        </div>
      </main>
      {open && (
        <div className="fixed right-3 bottom-3 left-3 z-70 sm:left-auto">
          <Dialogs open={open} />
        </div>
      )}
    </div>
  );
}

function Brand({ className }: { className?: string }) {
  return (
    <Link
      to="/"
      className={cx("flex items-center gap-2.5 text-text no-underline", className)}
      aria-label="UWS Orchestrator, overview"
    >
      <img src="/favicon.svg" alt="" width={26} height={26} />
      <span className="text-[0.9375rem] font-semibold tracking-tight">
        UWS <span className="font-normal text-muted max-[26rem]:hidden">Orchestrator</span>
      </span>
    </Link>
  );
}

function Tools() {
  const theme = useTheme();
  return (
    <div className="flex">
      <IconButton label="Keyboard shortcuts" onClick={() => dialogs.open({ type: "help" })} aria-keyshortcuts="?">
        <Keyboard size={17} aria-hidden="true" />
      </IconButton>
      <IconButton label={theme === "dark" ? "Light theme" : "Dark theme"} onClick={toggleTheme}>
        {theme === "dark" ? <Sun size={17} aria-hidden="true" /> : <Moon size={17} aria-hidden="true" />}
      </IconButton>
    </div>
  );
}

const connection = {
  live: { group: "healthy", word: "Live", tip: "Connected. Changes appear at once." },
  connecting: { group: "progress", word: "Connecting", tip: "Connecting to the server" },
  offline: { group: "unhealthy", word: "Offline", tip: "The connection is lost. Reconnecting." },
} as const;

function Connection() {
  const state = useSocketState();
  const { group, word, tip } = connection[state];
  return (
    <span
      role="status"
      data-socket={state}
      title={tip}
      className="inline-flex items-center gap-2 px-1 text-[0.8125rem] text-muted"
    >
      <Mark group={group} size={9} />
      {word}
    </span>
  );
}

const bannerAfter = 1_500; // ms offline

function OfflineBanner() {
  const offline = useSocketState() !== "live";
  const [late, setLate] = useState(false);
  useEffect(() => {
    if (!offline) return setLate(false);
    const timer = setTimeout(() => setLate(true), bannerAfter);
    return () => clearTimeout(timer);
  }, [offline]);
  if (!offline || !late) return null;
  return (
    <div
      role="alert"
      className="flex flex-wrap items-center gap-x-4 gap-y-2 border-b border-warn bg-warn-soft px-4 py-2 text-warn-text"
    >
      <HardDrive size={16} aria-hidden="true" className="hidden sm:block" />
      <span className="flex-1">Reconnecting. What you see may be out of date.</span>
      <Button small onClick={reconnectNow}>
        Try now
      </Button>
    </div>
  );
}

/** Offers a reload when the server that answers again serves another version of the dashboard. */
function UpdateBanner() {
  const socket = useSocketState();
  const [outdated, setOutdated] = useState(false);
  useEffect(() => {
    if (socket === "live") void isOutdated().then(setOutdated);
  }, [socket]);
  if (!outdated) return null;
  return (
    <div
      role="status"
      className="flex flex-wrap items-center gap-x-4 gap-y-2 border-b border-line bg-accent-soft px-4 py-2"
    >
      <span className="flex-1">UWS was updated. Reload to use the new version of this page.</span>
      <Button small onClick={() => location.reload()}>
        Reload
      </Button>
    </div>
  );
}
