import { initGraphQLTada } from "gql.tada";
import type { introspection } from "../../generated/graphql-env";

/** Documents are typed by the server's own SDL: a wrong field fails `npm run types`. */
export const graphql = initGraphQLTada<{
  introspection: introspection;
  scalars: { Time: string; ID: string; Duration: number }; // a duration is in seconds
}>();

export type { FragmentOf, ResultOf, VariablesOf } from "gql.tada";
