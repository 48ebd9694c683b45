import {
  type AnyVariables,
  Client,
  type CombinedError,
  cacheExchange,
  fetchExchange,
  type TypedDocumentNode,
} from "@urql/core";
import { ApiError } from "../lib/errors";
import { sentence } from "../lib/format";
import { fetchSigned } from "./sessionkey";

let unauthenticated = (_key: string) => {};

/** Sets the function that is called, with the session key that was sent, when the server answers UNAUTHENTICATED. */
export function onUnauthenticated(then: (key: string) => void) {
  unauthenticated = then;
}

const options = {
  url: "/graphql",
  preferGetMethod: false,
  fetch: (input: RequestInfo | URL, init?: RequestInit) => fetchSigned(input, init, (key) => unauthenticated(key)),
};

/** What is asked once and kept: templates and retained data. Services and nodes come through the feed. */
export const client = new Client({ ...options, exchanges: [cacheExchange, fetchExchange] });

const uncached = new Client({ ...options, exchanges: [fetchExchange] });

/** Runs a query whose data is kept nowhere, or throws an ApiError. */
export async function runUncached<Data, Variables extends AnyVariables>(
  document: TypedDocumentNode<Data, Variables>,
  variables: Variables,
): Promise<Data> {
  const result = await uncached.query(document, variables).toPromise();
  if (result.error || !result.data) throw asApiError(result.error);
  return result.data;
}

/** Runs a query or mutation against the server and gives its data, or throws an ApiError. */
export async function run<Data, Variables extends AnyVariables>(
  document: TypedDocumentNode<Data, Variables>,
  variables: Variables,
): Promise<Data> {
  const isMutation = document.definitions.some((d) => d.kind === "OperationDefinition" && d.operation === "mutation");
  const result = isMutation
    ? await client.mutation(document, variables).toPromise()
    : await client.query(document, variables, { requestPolicy: "network-only" }).toPromise();
  if (result.error || !result.data) throw asApiError(result.error);
  return result.data;
}

export function asApiError(error: CombinedError | undefined): ApiError {
  const first = error?.graphQLErrors[0];
  if (!first) {
    if (error?.response?.status === 401) return new ApiError("You are not signed in.", "UNAUTHENTICATED", "");
    return new ApiError("The server did not answer. Is uws still running?", "NETWORK", "");
  }
  const code = String(first.extensions?.code ?? "INTERNAL");
  const text = String(first.extensions?.text ?? first.message);
  return new ApiError(sentence(text), code, String(first.extensions?.field ?? ""));
}
