import { Link, Outlet, useRouter } from "@tanstack/react-router";
import {
  Activity,
  Archive,
  Boxes,
  Database,
  HardDrive,
  Keyboard,
  KeyRound,
  Layers,
  LayoutDashboard,
  ListOrdered,
  Menu,
  MonitorSmartphone,
  Moon,
  PackageOpen,
  ScrollText,
  Server,
  Sun,
  TerminalSquare,
} from "lucide-react";
import { lazy, type ReactNode, Suspense, useEffect, useState } from "react";
import type { Kind } from "../graphql/documents";
import { reconnectNow } from "../graphql/socket";
import { dialogs, useDialog } from "../lib/dialogs";
import { useCounts, useNodes, useSocketState } from "../lib/hooks";
import { listenForKeys } from "../lib/keys";
import { lists, pathOf } from "../lib/kinds";
import { can, myKinds } from "../lib/session";
import { toggleTheme, useTheme } from "../lib/theme";
import { Button, IconButton } from "./Button";
import { cx } from "./cx";
import { Person } from "./Person";
import { Mark } from "./Status";

const Dialogs = lazy(() => import("../features/Dialogs"));

export const kindIcons: Record<Kind, typeof Archive> = {
  BUCKET: Archive,
  DB: Database,
  NOSQL: Layers,
  QUEUE: ListOrdered,
  SECRETS: KeyRound,
};

/** What surrounds every page: the ways to the others, and the state of the connection. */
export function Shell() {
  const router = useRouter();
  const open = useDialog();
  useEffect(() => listenForKeys(router), [router]);
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
        <OfflineBanner />
        <div className="min-h-0 flex-1">
          <Outlet />
        </div>
      </main>
      {open && (
        <Suspense fallback={null}>
          <Dialogs open={open} />
        </Suspense>
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

export function Nav() {
  const total = useCounts();
  return (
    <nav aria-label="Pages" className="flex flex-col gap-0.5 px-2.5 py-1">
      <Item to="/" exact icon={<LayoutDashboard size={17} />} label="Overview" />
      <Item
        to="/services"
        icon={<Boxes size={17} />}
        label={lists.services.title}
        end={<Numbers total={total.total} bad={total.unhealthy} />}
      />
      {myKinds().map((kind) => (
        <KindItem key={kind} kind={kind} />
      ))}
      <hr className="my-2 border-line" />
      <NodesItem />
      <Item to="/activity" icon={<Activity size={17} />} label="Activity" />
      <Item to="/retained" icon={<PackageOpen size={17} />} label="Retained data" />
      <a href="/playground" className={itemClass}>
        <TerminalSquare size={17} aria-hidden="true" />
        API playground
      </a>
      <hr className="my-2 border-line" />
      <p className="px-2.5 pb-1 text-xs font-semibold text-muted">Access</p>
      <Item to="/access/sessions" icon={<MonitorSmartphone size={17} />} label="Sessions" />
      {can("manageAccess") && (
        <>
          <Item to="/access/tokens" icon={<KeyRound size={17} />} label="Tokens" />
          <Item to="/access/audit" icon={<ScrollText size={17} />} label="Audit log" />
        </>
      )}
    </nav>
  );
}

function KindItem({ kind }: { kind: Kind }) {
  const counts = useCounts(kind);
  const Icon = kindIcons[kind];
  return (
    <Item
      to={`/${pathOf[kind]}`}
      icon={<Icon size={17} />}
      label={lists[pathOf[kind]].title}
      end={<Numbers total={counts.total} bad={counts.unhealthy} />}
    />
  );
}

function NodesItem() {
  const nodes = useNodes();
  const away = nodes.filter((n) => !n.healthy).length;
  return (
    <Item to="/nodes" icon={<Server size={17} />} label="Nodes" end={<Numbers total={nodes.length} bad={away} />} />
  );
}

const itemClass =
  "flex min-h-9 items-center gap-3 rounded-md px-2.5 text-muted no-underline hover:bg-sunken hover:text-text data-[status=active]:bg-accent-soft data-[status=active]:font-semibold data-[status=active]:text-text";

function Item({
  to,
  icon,
  label,
  end,
  exact,
}: {
  to: string;
  icon: ReactNode;
  label: string;
  end?: ReactNode;
  exact?: boolean;
}) {
  return (
    <Link
      to={to}
      activeOptions={{ exact: exact ?? false, includeSearch: false }}
      activeProps={{ "aria-current": "page" }}
      className={itemClass}
    >
      <span aria-hidden="true" className="flex">
        {icon}
      </span>
      <span className="flex-1">{label}</span>
      {end}
    </Link>
  );
}

function Numbers({ total, bad }: { total: number; bad: number }) {
  return (
    <span className="numbers flex items-center gap-2 text-xs font-normal">
      {bad > 0 && (
        <span className="inline-flex items-center gap-1 font-semibold text-bad-text">
          <Mark group="unhealthy" size={8} />
          {bad}
          <span className="sr-only"> unhealthy, of</span>
        </span>
      )}
      <span className="text-muted">{total}</span>
    </span>
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
  live: { group: "healthy", word: "Live", tip: "Changes appear as they happen" },
  connecting: { group: "progress", word: "Connecting", tip: "Connecting to the server" },
  offline: { group: "unhealthy", word: "Offline", tip: "The connection is lost, and tried again" },
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
      <span className="flex-1">Reconnecting: what you see may be old.</span>
      <Button small onClick={reconnectNow}>
        Try now
      </Button>
    </div>
  );
}
