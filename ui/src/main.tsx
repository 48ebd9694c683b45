import { CSPProvider } from "@base-ui/react/csp-provider";
import { RouterProvider } from "@tanstack/react-router";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { Provider } from "urql";
import { ToastProvider } from "./components/Toasts";
import { client } from "./graphql/client";
import { startFeed } from "./graphql/feed";
import { connect } from "./graphql/socket";
import { router } from "./router";
import "./styles.css";

startFeed(connect());

const root = document.getElementById("root");
if (!root) throw new Error("the page has no element #root");
createRoot(root).render(
  <StrictMode>
    <CSPProvider disableStyleElements>
      <Provider value={client}>
        <ToastProvider>
          <RouterProvider router={router} />
        </ToastProvider>
      </Provider>
    </CSPProvider>
  </StrictMode>,
);
