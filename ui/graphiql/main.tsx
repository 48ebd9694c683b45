import { createGraphiQLFetcher } from "@graphiql/toolkit";
import { GraphiQL } from "graphiql";
import { createClient } from "graphql-ws";
import { createRoot } from "react-dom/client";
import "./workers";
import "graphiql/style.css";
import "./style.css";
import { examples } from "./examples";

const scheme = location.protocol === "https:" ? "wss:" : "ws:";
const fetcher = createGraphiQLFetcher({
  url: "/graphql",
  wsClient: createClient({ url: `${scheme}//${location.host}/graphql`, lazy: true, shouldRetry: () => true }),
});

const root = document.getElementById("graphiql");
if (!root) throw new Error("the page has no element #graphiql");
createRoot(root).render(
  <GraphiQL
    fetcher={fetcher}
    defaultTabs={examples.map(({ query, variables }) => ({ query, variables: variables ?? "" }))}
    defaultTheme={document.documentElement.dataset.theme === "dark" ? "dark" : "light"}
    shouldPersistHeaders={false}
  >
    <GraphiQL.Logo>
      <a href="/" className="uws-home">
        <img src="/favicon.svg" alt="" width={22} height={22} />
        UWS dashboard
      </a>
    </GraphiQL.Logo>
  </GraphiQL>,
);
