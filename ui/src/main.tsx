import { CSPProvider } from "@base-ui/react/csp-provider";
import { RouterProvider } from "@tanstack/react-router";
import { lazy, StrictMode, Suspense } from "react";
import { createRoot } from "react-dom/client";
import { Provider } from "urql";
import { client } from "./graphql/client";
import { startFeed } from "./graphql/feed";
import { connect } from "./graphql/socket";
import { router } from "./router";
import "./styles.css";

// Not needed before something was done.
const Toasts = lazy(() => import("./components/Toasts"));

startFeed(connect());

const root = document.getElementById("root");
if (!root) throw new Error("the page has no element #root");
createRoot(root).render(
  <StrictMode>
    <CSPProvider disableStyleElements>
      <Provider value={client}>
        <RouterProvider router={router} />
        <Suspense fallback={null}>
          <Toasts />
        </Suspense>
      </Provider>
    </CSPProvider>
  </StrictMode>,
);
