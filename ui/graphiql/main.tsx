import { createGraphiQLFetcher, type Fetcher } from "@graphiql/toolkit";
import { GraphiQL } from "graphiql";
import { type DocumentNode, Kind, parse } from "graphql";
import { createClient } from "graphql-ws";
import { createRoot } from "react-dom/client";
import "./workers";
import "graphiql/style.css";
import "./style.css";
import { credentials, fetchSigned, sessionKey } from "../src/graphql/sessionkey";
import { redirectToSignIn } from "../src/model/signinreturn";
import { examples } from "./examples";

const scheme = location.protocol === "https:" ? "wss:" : "ws:";
const nobody = 4403; // the close code for who is not signed in, or is not any more
let socketKey = "";

const send = createGraphiQLFetcher({
  url: "/graphql",
  fetch: (input, init) => fetchSigned(input, init, (key) => redirectToSignIn("", key)),
  wsClient: createClient({
    url: `${scheme}//${location.host}/graphql`,
    connectionParams: () => {
      socketKey = sessionKey();
      return credentials(socketKey);
    },
    lazy: true,
    shouldRetry: () => true,
    on: {
      closed: (event) => {
        if ((event as CloseEvent).code === nobody) redirectToSignIn("ended", socketKey);
      },
    },
  }),
});

/**
 * Sends what the editor shows. For a moment after another tab was chosen, GraphiQL still has the operation of the tab before:
 * its name, and what kind of operation it is.
 */
const fetcher: Fetcher = (params, options) => {
  let document: DocumentNode;
  try {
    document = parse(params.query);
  } catch {
    return send(params, options); // the server says what is wrong
  }
  const known = document.definitions.some(
    (d) => d.kind === Kind.OPERATION_DEFINITION && d.name?.value === params.operationName,
  );
  const operationName = known ? params.operationName : undefined;
  const only = document.definitions.find((d) => d.kind === Kind.OPERATION_DEFINITION)?.name?.value;
  return send({ ...params, operationName: operationName ?? only }, { ...options, documentAST: document });
};

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
