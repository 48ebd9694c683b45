import { createRootRoute, createRoute, createRouter, lazyRouteComponent, redirect } from "@tanstack/react-router";
import { Shell } from "./components/Shell";
import { NotFound } from "./features/NotFound";
import { Overview } from "./features/overview/Overview";
import { ServicesPage } from "./features/services/ServicesPage";
import { type ListPath, lists } from "./lib/kinds";
import { activitySearch, auditSearch, detailSearch, listSearch, parseSearch, stringifySearch } from "./lib/search";
import { can } from "./lib/session";

const root = createRootRoute({ component: Shell, notFoundComponent: NotFound });

const overview = createRoute({ getParentRoute: () => root, path: "/", component: Overview });

// One route for all lists of services: going from one to the other keeps what is on the screen.
const list = createRoute({
  getParentRoute: () => root,
  path: "/$list",
  validateSearch: listSearch,
  beforeLoad: ({ params }) => {
    if (!Object.hasOwn(lists, params.list)) throw redirect({ to: "/", replace: true });
  },
  component: ServicesPage,
});

const detail = createRoute({
  getParentRoute: () => list,
  path: "$id",
  validateSearch: detailSearch,
  component: lazyRouteComponent(() => import("./features/services/Detail"), "Detail"),
});

const nodes = createRoute({
  getParentRoute: () => root,
  path: "/nodes",
  component: lazyRouteComponent(() => import("./features/nodes/NodesPage"), "NodesPage"),
});

const activity = createRoute({
  getParentRoute: () => root,
  path: "/activity",
  validateSearch: activitySearch,
  component: lazyRouteComponent(() => import("./features/activity/ActivityPage"), "ActivityPage"),
});

const retained = createRoute({
  getParentRoute: () => root,
  path: "/retained",
  component: lazyRouteComponent(() => import("./features/retained/RetainedPage"), "RetainedPage"),
});

const sessions = createRoute({
  getParentRoute: () => root,
  path: "/access/sessions",
  component: lazyRouteComponent(() => import("./features/access/SessionsPage"), "SessionsPage"),
});

const toWhatIsThere = () => {
  if (!can("manageAccess")) throw redirect({ to: "/access/sessions", replace: true });
};

const tokens = createRoute({
  getParentRoute: () => root,
  path: "/access/tokens",
  beforeLoad: toWhatIsThere,
  component: lazyRouteComponent(() => import("./features/access/TokensPage"), "TokensPage"),
});

const audit = createRoute({
  getParentRoute: () => root,
  path: "/access/audit",
  validateSearch: auditSearch,
  beforeLoad: toWhatIsThere,
  component: lazyRouteComponent(() => import("./features/access/AuditPage"), "AuditPage"),
});

export const router = createRouter({
  routeTree: root.addChildren([
    overview,
    nodes,
    activity,
    retained,
    sessions,
    tokens,
    audit,
    list.addChildren([detail]),
  ]),
  parseSearch,
  stringifySearch,
  defaultPreload: "intent",
  defaultNotFoundComponent: NotFound,
  scrollRestoration: false,
});

declare module "@tanstack/react-router" {
  interface Register {
    router: typeof router;
  }
}

export type { ListPath };
