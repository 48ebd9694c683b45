import { createRootRoute, createRoute, createRouter, redirect } from "@tanstack/react-router";
import type { ComponentType } from "react";
import { Loading } from "../components/Empty";
import { lazyPart } from "../components/Lazy";
import { auditSearch } from "../features/access/search";
import { activitySearch } from "../features/activity/search";
import { backupsSearch } from "../features/backups/search";
import { nodesSearch } from "../features/nodes/search";
import { Overview } from "../features/overview/Overview";
import { detailSearch, listSearch } from "../features/services/search";
import { parseSearch, stringifySearch } from "../lib/search";
import { type ListPath, lists } from "../model/kinds";
import { can } from "../model/session";
import { NotFound } from "./NotFound";
import { ReadOnlyBanner } from "./ReadOnlyBanner";
import { Shell } from "./Shell";

const lazyPage = (load: () => Promise<ComponentType>) => lazyPart(load, () => <Loading />);

// The lists of services are used most: their code is requested at once, before the server has said who is signed in. The
// router calls preload too, and shows the page when the code is there.
const ServicesPage = lazyPage(() => import("../features/services/ServicesPage").then((m) => m.ServicesPage));
const servicesPage = Object.assign(ServicesPage, { preload: ServicesPage.chunk.preload });
void servicesPage.preload();

const root = createRootRoute({ component: () => <Shell banner={<ReadOnlyBanner />} />, notFoundComponent: NotFound });

const overview = createRoute({ getParentRoute: () => root, path: "/", component: Overview });

// One route for all lists of services: going from one to the other keeps what is on the screen.
const list = createRoute({
  getParentRoute: () => root,
  path: "/$list",
  validateSearch: listSearch,
  beforeLoad: ({ params }) => {
    if (!Object.hasOwn(lists, params.list)) throw redirect({ to: "/", replace: true });
  },
  component: servicesPage,
});

const detail = createRoute({
  getParentRoute: () => list,
  path: "$id",
  validateSearch: detailSearch,
  component: lazyPage(() => import("../features/services/Detail").then((m) => m.Detail)),
});

const nodes = createRoute({
  getParentRoute: () => root,
  path: "/nodes",
  validateSearch: nodesSearch,
  component: lazyPage(() => import("../features/nodes/NodesPage").then((m) => m.NodesPage)),
});

const activity = createRoute({
  getParentRoute: () => root,
  path: "/activity",
  validateSearch: activitySearch,
  component: lazyPage(() => import("../features/activity/ActivityPage").then((m) => m.ActivityPage)),
});

const backups = createRoute({
  getParentRoute: () => root,
  path: "/backups",
  validateSearch: backupsSearch,
  component: lazyPage(() => import("../features/backups/page/BackupsPage").then((m) => m.BackupsPage)),
});

const retained = createRoute({
  getParentRoute: () => root,
  path: "/retained",
  component: lazyPage(() => import("../features/retained/RetainedPage").then((m) => m.RetainedPage)),
});

const sessions = createRoute({
  getParentRoute: () => root,
  path: "/access/sessions",
  component: lazyPage(() => import("../features/access/SessionsPage").then((m) => m.SessionsPage)),
});

const toWhatIsThere = () => {
  if (!can("manageAccess")) throw redirect({ to: "/access/sessions", replace: true });
};

const tokens = createRoute({
  getParentRoute: () => root,
  path: "/access/tokens",
  beforeLoad: toWhatIsThere,
  component: lazyPage(() => import("../features/access/TokensPage").then((m) => m.TokensPage)),
});

const audit = createRoute({
  getParentRoute: () => root,
  path: "/access/audit",
  validateSearch: auditSearch,
  beforeLoad: toWhatIsThere,
  component: lazyPage(() => import("../features/access/AuditPage").then((m) => m.AuditPage)),
});

export const router = createRouter({
  routeTree: root.addChildren([
    overview,
    nodes,
    activity,
    backups,
    retained,
    sessions,
    tokens,
    audit,
    list.addChildren([detail]),
  ]),
  parseSearch,
  stringifySearch,
  defaultNotFoundComponent: NotFound,
  scrollRestoration: false,
});

declare module "@tanstack/react-router" {
  interface Register {
    router: typeof router;
  }
}

export type { ListPath };
