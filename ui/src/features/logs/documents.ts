import { graphql, type ResultOf } from "../../graphql/graphql";

const LogLineFields = graphql(`
  fragment LogLineFields on LogLine @_unmask {
    cursor
    at
    stream
    level
    run
    text
  }
`);

export const ServiceLogsPage = graphql(
  `
    query ServiceLogs($id: ID!, $first: Int!, $before: ID, $contains: String, $run: ID, $level: LogLevel) {
      serviceLogs(id: $id, first: $first, before: $before, contains: $contains, run: $run, level: $level) {
        nodes { ...LogLineFields }
        pageInfo { endCursor hasPreviousPage }
      }
    }
  `,
  [LogLineFields],
);

export const ServiceLogs = graphql(
  `
    subscription ServiceLogs($id: ID!, $since: String) {
      serviceLogs(id: $id, since: $since) {
        lines { ...LogLineFields }
        dropped
        reset
        cursor
      }
    }
  `,
  [LogLineFields],
);

export type LogLine = ResultOf<typeof LogLineFields>;
export type LogLevel = NonNullable<LogLine["level"]>;
export type LogPage = Pick<ResultOf<typeof ServiceLogsPage>["serviceLogs"], "nodes" | "pageInfo">;
export type LogBatch = ResultOf<typeof ServiceLogs>["serviceLogs"];
