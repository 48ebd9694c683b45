import { graphql, type ResultOf, type VariablesOf } from "../../graphql/graphql";

const ServiceUsageFields = graphql(`
  fragment ServiceUsageFields on ServiceUsage @_unmask {
    serviceId
    at
    cpu
    cpuLimit
    memoryBytes
    memoryLimitBytes
    diskBytes
    receivedBytesPerSecond
    sentBytesPerSecond
    processes
    descriptors
  }
`);

const HistoryFields = graphql(`
  fragment HistoryFields on UsageHistory @_unmask {
    id
    from
    to
    stepSeconds
    cpu
    memoryBytes
    diskBytes
    receivedBytesPerSecond
    sentBytesPerSecond
    connections
  }
`);

export const ServiceUse = graphql(
  `
    query ServiceUse($id: ID!) {
      service(id: $id) {
        id
        usage { ...ServiceUsageFields }
        engineStats { name unit value at }
      }
    }
  `,
  [ServiceUsageFields],
);

export const ServiceUseHistory = graphql(
  `
    query ServiceUseHistory($id: ID!, $range: UsageRange!, $points: Int!) {
      service(id: $id) {
        id
        usageHistory(range: $range, points: $points) { ...HistoryFields }
      }
    }
  `,
  [HistoryFields],
);

export const NodeUseHistory = graphql(
  `
    query NodeUseHistory($id: ID!, $range: UsageRange!, $points: Int!) {
      node(id: $id) {
        id
        usageHistory(range: $range, points: $points) { ...HistoryFields }
      }
    }
  `,
  [HistoryFields],
);

/** The last hour of many services, for sparklines. */
export const UseOfMany = graphql(`
  query UseOfMany($ids: [ID!]!, $points: Int!) {
    usageHistory(ids: $ids, range: HOUR, points: $points) { id from stepSeconds cpu memoryBytes }
  }
`);

export const UseFeed = graphql(
  `
    subscription UseFeed($ids: [ID!]!) {
      usage(ids: $ids) {
        services { ...ServiceUsageFields }
      }
    }
  `,
  [ServiceUsageFields],
);

export type ServiceUsage = ResultOf<typeof ServiceUsageFields>;
export type UsageHistory = ResultOf<typeof HistoryFields>;
export type UsageBatch = ResultOf<typeof UseFeed>["usage"];
export type UsageRange = VariablesOf<typeof ServiceUseHistory>["range"];
export type EngineStat = NonNullable<ResultOf<typeof ServiceUse>["service"]>["engineStats"][number];
