// Asks with Apollo Client 3 and 4 and their link for persisted queries: both first send the hash of a query alone, and
// send the query when the server says that it does not know such. A line of JSON for each.
import { createHash } from "node:crypto";
import * as three from "apollo-client-3/core/core.cjs";
import * as persisted3 from "apollo-client-3/link/persisted-queries/persisted-queries.cjs";
import * as four from "apollo-client-4/core";
import * as persisted4 from "apollo-client-4/link/persisted-queries";
import { parse } from "graphql";

const [uri] = process.argv.slice(2);
const sha256 = (text) => createHash("sha256").update(text).digest("hex");

async function ask(version, { ApolloClient, InMemoryCache, HttpLink }, { createPersistedQueryLink }) {
  let requests = 0;
  const counting = (...args) => {
    requests++;
    return fetch(...args);
  };
  const client = new ApolloClient({
    cache: new InMemoryCache(),
    link: createPersistedQueryLink({ sha256 }).concat(new HttpLink({ uri, fetch: counting })),
  });
  const names = [];
  for (const text of ["{ nodes { id name } }", "{ nodes { name } }"]) {
    const { data } = await client.query({ query: parse(text), fetchPolicy: "network-only" });
    names.push(data.nodes[0].name);
  }
  // The probe and the query, and from then on queries alone.
  console.log(JSON.stringify({ version, names, requests }));
  client.stop();
}

await ask(3, three.default ?? three, persisted3.default ?? persisted3);
await ask(4, four, persisted4);
