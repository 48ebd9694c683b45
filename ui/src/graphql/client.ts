import {
  type AnyVariables,
  Client,
  type CombinedError,
  cacheExchange,
  fetchExchange,
  type TypedDocumentNode,
} from "@urql/core";

let unauthenticated = () => {};

/** Has `then` called whenever the server does not know who asks. */
export function onUnauthenticated(then: () => void) {
  unauthenticated = then;
}

/** What is asked once and kept: templates and retained data. Services and nodes come through the feed. */
export const client = new Client({
  url: "/graphql",
  preferGetMethod: false,
  fetch: async (input, init) => {
    const answer = await fetch(input, init);
    if (answer.status === 401) unauthenticated();
    return answer;
  },
  exchanges: [cacheExchange, fetchExchange],
});

/** An error whose words are meant for people. */
export class ApiError extends Error {
  constructor(
    message: string,
    readonly code: string,
    /** The input field to blame, such as "name" or "healthCheck.intervalSeconds"; empty when none is. */
    readonly field: string,
  ) {
    super(message);
    this.name = "ApiError";
  }
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
  const field = String(first.extensions?.field ?? "").replace(/^input\./, "");
  return new ApiError(plain(first.message), code, field);
}

/** The server's message without the name of the API's field, which people at a form do not know. */
export function plain(message: string): string {
  const text = message.replace(/^input\.[\w.]+: /, "");
  return text.charAt(0).toUpperCase() + text.slice(1);
}
