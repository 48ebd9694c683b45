import { Link } from "@tanstack/react-router";
import {
  Activity,
  Boxes,
  DatabaseBackup,
  KeyRound,
  LayoutDashboard,
  MonitorSmartphone,
  PackageOpen,
  ScrollText,
  Server,
  TerminalSquare,
} from "lucide-react";
import type { ReactNode } from "react";
import { kindIcons } from "../components/KindIcon";
import { Mark } from "../components/Status";
import { useCounts, useNodes } from "../model/hooks";
import { type Kind, lists, pathOf } from "../model/kinds";
import { can, myKinds } from "../model/session";

/** The links to the pages. */
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
      <Item to="/backups" icon={<DatabaseBackup size={17} />} label="Backups" />
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
