import { graphql, type ResultOf, type VariablesOf } from "../../graphql/graphql";

// Apart from the other documents: only the pages under "Access" need them.

export const Tokens = graphql(`
  query Tokens {
    tokens { id name role kinds createdAt createdBy expiresAt lastUsedAt }
  }
`);

export const Sessions = graphql(`
  query Sessions {
    sessions { id name role kinds createdAt expiresAt lastUsedAt address agent current }
  }
`);

export const AuditPage = graphql(`
  query Audit($filter: AuditFilter, $first: Int, $after: ID) {
    auditLog(filter: $filter, first: $first, after: $after) {
      nodes { id at actor role address door action target targetName detail result message }
      pageInfo { hasNextPage endCursor }
    }
  }
`);

export const CreateToken = graphql(`
  mutation CreateToken($input: CreateTokenInput!) {
    createToken(input: $input) { secret token { id name role } }
  }
`);

export const CreateLoginLink = graphql(`
  mutation CreateLoginLink($input: CreateLoginLinkInput!) {
    createLoginLink(input: $input) { path expiresAt }
  }
`);

export const RevokeToken = graphql(`mutation RevokeToken($id: ID!) { revokeToken(id: $id) { id } }`);
export const RevokeSession = graphql(`mutation RevokeSession($id: ID!) { revokeSession(id: $id) { id } }`);

export type Token = ResultOf<typeof Tokens>["tokens"][number];
export type Session = ResultOf<typeof Sessions>["sessions"][number];
export type AuditEntry = ResultOf<typeof AuditPage>["auditLog"]["nodes"][number];
export type AuditFilter = NonNullable<VariablesOf<typeof AuditPage>["filter"]>;
