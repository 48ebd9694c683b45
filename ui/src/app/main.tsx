import { CSPProvider } from "@base-ui/react/csp-provider";
import { RouterProvider } from "@tanstack/react-router";
import { type ReactNode, StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { Provider } from "urql";
import { Loading } from "../components/Empty";
import { ChunkFailure, lazyPart } from "../components/Lazy";
import { client } from "../graphql/client";
import { startFeed } from "../graphql/feed";
import { connect } from "../graphql/socket";
import { begin } from "../model/session";
import { router } from "./router";
import "../styles.css";

// Not needed before something was done.
const Toasts = lazyPart(
  () => import("../components/Toasts").then((m) => m.default),
  () => null,
);

const element = document.getElementById("root");
if (!element) throw new Error("the page has no element #root");
const root = createRoot(element);

function show(page: ReactNode) {
  root.render(
    <StrictMode>
      <CSPProvider disableStyleElements>
        {page}
        <Toasts />
      </CSPProvider>
    </StrictMode>,
  );
}

async function signIn() {
  const fragment = location.hash;
  // At once: it is a secret, and neither the address bar nor the history may keep it.
  if (fragment) history.replaceState(null, "", "/sign-in");
  const { SignIn, tryFragment } = await import("../features/access/SignIn");
  if (fragment) tryFragment(fragment);
  show(<SignIn />);
}

async function app() {
  await begin(
    (words) => show(<Away words={words} />),
    () => root.render(null),
  );
  startFeed(connect());
  show(
    <Provider value={client}>
      <RouterProvider router={router} />
    </Provider>,
  );
}

/** Shown until the viewer is loaded. */
function Away({ words }: { words: string }) {
  return (
    <main className="mx-auto max-w-lg p-6">
      <h1 className="text-lg font-semibold">UWS Orchestrator</h1>
      <p role="alert" className="mt-1 text-muted">
        {words} Retrying every second.
      </p>
      <Loading rows={3} className="px-0" />
    </main>
  );
}

(location.pathname === "/sign-in" ? signIn() : app()).catch(() =>
  root.render(<ChunkFailure retry={() => location.reload()} />),
);
