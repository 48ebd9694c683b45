import { graphql, type ResultOf } from "../../graphql/graphql";

export const NodesUse = graphql(`
  query NodesUse {
    nodes {
      id
      usage {
        at cpu cpus memoryBytes memoryTotalBytes diskBytes diskTotalBytes
        promisedCpu promisedMemoryBytes servicesCpu servicesMemoryBytes
      }
    }
  }
`);

export const UseOnNode = graphql(`
  query UseOnNode($nodeId: ID!, $after: ID) {
    services(filter: { nodeId: $nodeId }, first: 1000, after: $after) {
      nodes { id name kind usage { cpu memoryBytes } }
      pageInfo { hasNextPage endCursor }
    }
  }
`);

export type NodeUsage = NonNullable<ResultOf<typeof NodesUse>["nodes"][number]["usage"]>;
export type ServiceOnNode = ResultOf<typeof UseOnNode>["services"]["nodes"][number];
