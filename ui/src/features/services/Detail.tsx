import { Tabs } from "@base-ui/react/tabs";
import { Link, useNavigate, useParams, useSearch } from "@tanstack/react-router";
import { CirclePlay, CircleStop, HeartPulse, RotateCw, SearchX, Trash2, X } from "lucide-react";
import { type ReactNode, useCallback, useEffect, useLayoutEffect, useRef } from "react";
import { Button, buttonClass, IconButton } from "../../components/Button";
import { cx } from "../../components/cx";
import { Empty, Loading } from "../../components/Empty";
import { kindIcons } from "../../components/KindIcon";
import { lazyPart } from "../../components/Lazy";
import { StatusText } from "../../components/Status";
import { WarningBadge } from "../../components/Warnings";
import type { Service, ServiceAction } from "../../graphql/documents";
import { isTyping } from "../../lib/focus";
import { dialogs, useDialog } from "../../model/dialogs";
import { useLoaded, useService, useTitle } from "../../model/hooks";
import { kindNames, type ListPath, lists } from "../../model/kinds";
import { can } from "../../model/session";
import { statusOf } from "../../model/status";
import { useWarnings } from "../../model/warnings";
import { EventList } from "../activity/EventList";
import { useEvents } from "../activity/events";
import { checkService, restartService, startService, stopService, useBusy } from "./actions";
import { ConnectTab } from "./ConnectTab";
import { OverviewTab } from "./OverviewTab";
import { SettingsTab } from "./SettingsTab";
import { listSearch, type Tab, tabs } from "./search";

const tabNames: Record<Tab, string> = {
  overview: "Overview",
  usage: "Usage",
  events: "Events",
  logs: "Logs",
  backups: "Backups",
  connect: "Connect",
  settings: "Settings",
};

/** The service that the address selects, beside the list or, where there is no room, in its place. */
export function Detail() {
  const { list, id } = useParams({ from: "/$list/$id" }) as { list: ListPath; id: string };
  const { tab, wide } = useSearch({ from: "/$list/$id" });
  const service = useService(id);
  const loaded = useLoaded();
  const close = useClose(list, id);
  return (
    <aside
      aria-label="Selected service"
      className={cx(
        "flex h-full min-h-0 w-full min-w-0 flex-col bg-surface",
        !(tab === "logs" && wide) && "xl:w-[33rem] xl:shrink-0 xl:border-l xl:border-line",
      )}
    >
      {service ? (
        <Panel key={id} s={service} close={close} />
      ) : loaded ? (
        <Empty
          icon={<SearchX size={22} />}
          title="Service not found"
          actions={
            <Link to="/$list" params={{ list }} className={buttonClass("primary")}>
              To {lists[list].title.toLowerCase().replace("nosql", "NoSQL")}
            </Link>
          }
        >
          It was removed or never existed. If its data was kept, it is listed under{" "}
          <Link to="/retained" className="text-accent-text underline">
            retained data
          </Link>
          .
        </Empty>
      ) : (
        <Loading />
      )}
    </aside>
  );
}

/** Back to the list, with the focus on the row that was open. Esc does it too. */
function useClose(list: ListPath, id: string) {
  const navigate = useNavigate();
  const dialog = useDialog();
  const close = useCallback(async () => {
    await navigate({
      to: "/$list",
      params: { list },
      search: (before) => listSearch({ ...before }),
    });
    document.querySelector<HTMLElement>(`[data-row="${CSS.escape(id)}"] a`)?.focus({ preventScroll: true });
  }, [navigate, list, id]);
  useEffect(() => {
    if (dialog) return;
    const onKey = (event: KeyboardEvent) => {
      if (event.key !== "Escape" || event.defaultPrevented || document.querySelector("[role=menu]")) return;
      if (event.target instanceof HTMLInputElement && event.target.value) return;
      event.preventDefault();
      void close();
    };
    addEventListener("keydown", onKey);
    return () => removeEventListener("keydown", onKey);
  }, [close, dialog]);
  return close;
}

function Panel({ s, close }: { s: Service; close: () => void }) {
  const search = useSearch({ from: "/$list/$id" });
  const navigate = useNavigate();
  const heading = useRef<HTMLHeadingElement>(null);
  useTitle(s.name);
  useLayoutEffect(() => {
    if (!dialogs.get() && !isTyping(document.activeElement)) heading.current?.focus({ preventScroll: true });
  }, []);
  const { group, word } = statusOf(s);
  const Icon = kindIcons[s.kind];
  const tab: Tab = search.tab ?? "overview";
  return (
    <>
      <header className="border-b border-line px-4 pt-3 pb-3">
        <div className="flex items-start gap-2">
          <h2
            ref={heading}
            tabIndex={-1}
            className="min-w-0 flex-1 pt-1 text-lg leading-6 font-semibold tracking-tight [overflow-wrap:anywhere]"
          >
            {s.name}
          </h2>
          <IconButton label="Close" onClick={close} aria-keyshortcuts="Escape">
            <X size={18} aria-hidden="true" />
          </IconButton>
        </div>
        <p className="mt-0.5 flex flex-wrap items-center gap-x-4 gap-y-1 text-[0.8125rem] text-muted">
          <StatusText group={group} word={word} className="font-medium" />
          <WarningBadge warnings={useWarnings(s.id)} className="-ml-2" />
          <span className="inline-flex items-center gap-1.5">
            <Icon size={14} aria-hidden="true" />
            {kindNames[s.kind]}
          </span>
          <span>
            {s.template.name} {s.template.version}
          </span>
          {s.node && <span>on {s.node.name}</span>}
        </p>
        {can("operate") && <Actions s={s} />}
      </header>
      <Tabs.Root
        value={tab}
        onValueChange={(next: Tab) =>
          void navigate({
            to: ".",
            search: (before: Record<string, unknown>) => ({ ...before, tab: next === "overview" ? undefined : next }),
          })
        }
        className="flex min-h-0 flex-1 flex-col"
      >
        <Tabs.List className="flex gap-0.5 overflow-x-auto border-b border-line px-2" aria-label={`About ${s.name}`}>
          {tabs.map((t) => (
            <Tabs.Tab
              key={t}
              value={t}
              className="-mb-px min-h-10 border-b-2 border-transparent px-2 text-muted hover:text-text data-active:border-accent data-active:font-semibold data-active:text-text"
            >
              {tabNames[t]}
            </Tabs.Tab>
          ))}
        </Tabs.List>
        <TabPanel value="overview">
          <OverviewTab s={s} />
        </TabPanel>
        <TabPanel value="usage">
          <UsageTab s={s} />
        </TabPanel>
        <TabPanel value="events">
          <EventsTab id={s.id} />
        </TabPanel>
        <TabPanel value="logs" className="overflow-hidden">
          <LogsTab s={s} />
        </TabPanel>
        <TabPanel value="backups">
          <BackupsTab s={s} />
        </TabPanel>
        <TabPanel value="connect">
          <ConnectTab s={s} />
        </TabPanel>
        <TabPanel value="settings">
          <SettingsTab s={s} />
        </TabPanel>
      </Tabs.Root>
    </>
  );
}

const LogsTab = lazyPart<{ s: Service }>(
  () => import("../logs/LogsTab").then((m) => m.default),
  () => <Loading />,
);

const BackupsTab = lazyPart<{ s: Service }>(
  () => import("../backups/tab/BackupsTab").then((m) => m.default),
  () => <Loading />,
);

const UsageTab = lazyPart<{ s: Service }>(
  () => import("../usage/UsageTab").then((m) => m.default),
  () => <Loading />,
);

function TabPanel({ value, className, children }: { value: Tab; className?: string; children: ReactNode }) {
  return (
    <Tabs.Panel value={value} className={cx("min-h-0 flex-1 -outline-offset-2", className ?? "overflow-y-auto")}>
      {children}
    </Tabs.Panel>
  );
}

function EventsTab({ id }: { id: string }) {
  const events = useEvents({ serviceId: id });
  return <EventList from={events} ofOneService empty="Changes of the service's state appear here." />;
}

function Actions({ s }: { s: Service }) {
  const may = (action: ServiceAction) => s.allowedActions.includes(action);
  const checking = useBusy("CHECK", s.id);
  const starting = useBusy("START", s.id);
  const stopping = useBusy("STOP", s.id);
  const restarting = useBusy("RESTART", s.id);
  const removing = useBusy("REMOVE", s.id) || s.desiredState === "REMOVED";
  return (
    <div className="mt-3 flex flex-wrap gap-2" role="toolbar" aria-label={`Actions for ${s.name}`}>
      <Button
        small
        busy={checking}
        disabled={!may("CHECK") && !checking}
        icon={<HeartPulse size={15} aria-hidden="true" />}
        onClick={() => void checkService(s)}
      >
        Check now
      </Button>
      {may("START") || starting ? (
        <Button
          small
          busy={starting}
          icon={<CirclePlay size={15} aria-hidden="true" />}
          onClick={() => void startService(s)}
        >
          Start
        </Button>
      ) : (
        <Button
          small
          busy={stopping}
          disabled={!may("STOP") && !stopping}
          icon={<CircleStop size={15} aria-hidden="true" />}
          onClick={() => void stopService(s)}
        >
          Stop
        </Button>
      )}
      <Button
        small
        busy={restarting}
        disabled={!may("RESTART") && !restarting}
        icon={<RotateCw size={15} aria-hidden="true" />}
        onClick={() => void restartService(s)}
      >
        Restart
      </Button>
      <Button
        small
        look="danger-plain"
        className="ml-auto"
        busy={removing}
        disabled={!may("REMOVE") && !removing}
        icon={<Trash2 size={15} aria-hidden="true" />}
        onClick={() => dialogs.open({ type: "remove", id: s.id })}
        aria-keyshortcuts="Delete"
      >
        Remove
      </Button>
    </div>
  );
}
