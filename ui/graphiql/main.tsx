import { createGraphiQLFetcher } from "@graphiql/toolkit";
import { GraphiQL } from "graphiql";
import { createClient } from "graphql-ws";
import { createRoot } from "react-dom/client";
import "./workers";
import "graphiql/style.css";
import "./style.css";
import { leadToSignIn } from "../src/lib/wanted";
import { examples } from "./examples";

const scheme = location.protocol === "https:" ? "wss:" : "ws:";
const nobody = 4403; // the close code for who is not signed in, or is not any more

const fetcher = createGraphiQLFetcher({
  url: "/graphql",
  fetch: async (input, init) => {
    const answer = await fetch(input, init);
    if (answer.status === 401) leadToSignIn("");
    return answer;
  },
  wsClient: createClient({
    url: `${scheme}//${location.host}/graphql`,
    lazy: true,
    shouldRetry: () => true,
    on: {
      closed: (event) => {
        if ((event as CloseEvent).code === nobody) leadToSignIn("ended");
      },
    },
  }),
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
