import { graphql, type ResultOf, type VariablesOf } from "./graphql";

export const ServiceFields = graphql(`
  fragment ServiceFields on Service @_unmask {
    id
    name
    kind
    template { name version }
    node { id name }
    desiredState
    phase
    health
    healthy
    reason
    logLine
    endpoint
    restarts
    nextRestartAt
    lastHealthCheckAt
    createdAt
    progress { stepCode step percent }
    limits { memoryMiB cpus pids }
    image
    labels { name value }
    nodeLabels { name value }
    rotating
    heldBack
    allowedActions
  }
`);

export const NodeFields = graphql(`
  fragment NodeFields on Node @_unmask {
    id
    name
    driver
    endpoint
    serviceAddress
    healthy
    reason
    lastSeenAt
    version
    cpus
    memoryBytes
    diskFreeBytes
    diskTotalBytes
    diskLow
    labels { name value }
    engineLabels { name value }
    draining
    unrecognised
    allowedActions
  }
`);

export const EventFields = graphql(`
  fragment EventFields on Event @_unmask {
    id
    at
    subject
    nodeId
    nodeName
    serviceId
    serviceName
    kind
    previousPhase
    phase
    previousHealth
    health
    healthy
    reason
    reasonCode
    reasonParameters { signal }
    probe
    exitCode
    outOfMemory
    logLine
    logTail { run }
    attempt
    nextAttemptAt
    causeId
  }
`);

export const CurrentViewer = graphql(`
  query Viewer {
    viewer { name role kinds sessionId expiresAt }
  }
`);

export const Changes = graphql(
  `
    subscription Changes($since: String) {
      changes(since: $since) {
        kind
        complete
        cursor
        services {
          ...ServiceFields
        }
        nodes {
          ...NodeFields
        }
        deletedServices
        deletedNodes
      }
    }
  `,
  [ServiceFields, NodeFields],
);

export const ServiceById = graphql(
  `
    query Service($id: ID!) {
      service(id: $id) { ...ServiceFields }
    }
  `,
  [ServiceFields],
);

export const HealthSettings = graphql(`
  query HealthSettings($id: ID!) {
    service(id: $id) {
      id
      healthCheck {
        intervalSeconds timeoutSeconds failureThreshold graceSeconds
        writeIntervalSeconds lastWrite { at verdict }
      }
    }
  }
`);

export const AllNodes = graphql(
  `
    query Nodes {
      nodes { ...NodeFields }
    }
  `,
  [NodeFields],
);

export const Templates = graphql(`
  query Templates {
    templates {
      name
      kind
      version
      description
      limitations
      defaultOn
      ports
      settings {
        limits {
          memoryMiB { __typename default min max }
          cpus { __typename default min max }
          pids { __typename default min max }
        }
        healthCheck {
          interval { __typename default min max }
          timeout { __typename default min max }
          failureThreshold { __typename default min max }
          grace { __typename default min max }
        }
        portNumbers { first last }
      }
    }
  }
`);

export const EventsPage = graphql(
  `
    query Events($filter: EventFilter, $first: Int, $after: ID) {
      events(filter: $filter, first: $first, after: $after) {
        nodes { ...EventFields }
        pageInfo { hasNextPage endCursor }
      }
    }
  `,
  [EventFields],
);

/** What will need attention soon: of all services that have such a thing, up to 200, and of all nodes. */
export const Warnings = graphql(`
  query Warnings {
    services(filter: { warned: true }, first: 200) {
      totalCount
      nodes { id warnings { code text since } }
    }
    nodes { id warnings { code text since } }
  }
`);

/** How well services are backed up, a page of them, and what must be known of the places where backups go. */
export const BackupStates = graphql(`
  query BackupStates($after: ID) {
    services(first: 1000, after: $after) {
      nodes { id backup { state reason } }
      pageInfo { hasNextPage endCursor }
    }
    backupTargets { id name reachable recoveryKitTakenAt }
  }
`);

export const LogTails = graphql(`
  query LogTails($id: ID!, $first: Int!) {
    events(filter: { serviceId: $id }, first: $first) {
      nodes { id at logTail { cursor at stream level run text } }
    }
  }
`);

export const InstallationState = graphql(`
  query InstallationState {
    installation { readOnlyReason }
  }
`);

export const Retained = graphql(`
  query Retained {
    retainedData {
      id
      name
      kind
      template { name version }
      node { id name }
      createdAt
      retainedAt
      deleting
      obstacle
      forgotten
      nodeName
    }
  }
`);

export const Launch = graphql(
  `
    mutation Launch($input: LaunchServiceInput!) {
      launchService(input: $input) { ...ServiceFields }
    }
  `,
  [ServiceFields],
);

export const Remove = graphql(`
  mutation Remove($id: ID!, $data: DataPolicy!) {
    removeService(id: $id, data: $data) { id }
  }
`);

export const Start = graphql(`mutation Start($id: ID!) { startService(id: $id) { id } }`);
export const Stop = graphql(`mutation Stop($id: ID!) { stopService(id: $id) { id } }`);
export const SetLabels = graphql(`
  mutation SetLabels($id: ID!, $set: [LabelInput!]!, $remove: [String!]!) {
    setServiceLabels(id: $id, set: $set, remove: $remove) { service { id } }
  }
`);

export const Restart = graphql(`mutation Restart($id: ID!) { restartService(id: $id) { id } }`);

export const EndQuarantine = graphql(`mutation EndQuarantine($id: ID!) { endQuarantine(id: $id) { id } }`);

export const Rotate = graphql(`mutation Rotate($id: ID!) { rotateCredentials(id: $id) { id } }`);

export const CheckHealth = graphql(`
  mutation CheckHealth($id: ID!) {
    checkServiceHealth(id: $id) { verdict detail at durationSeconds }
  }
`);

export const Reveal = graphql(`
  mutation Reveal($id: ID!) {
    revealCredentials(id: $id) {
      endpoint
      values { name value }
      connections { name value }
    }
  }
`);

export const DeleteRetained = graphql(`
  mutation DeleteRetained($id: ID!) { deleteRetainedData(id: $id) { id } }
`);

export const RegisterNode = graphql(
  `
    mutation RegisterNode($input: RegisterNodeInput!) {
      registerNode(input: $input) { ...NodeFields }
    }
  `,
  [NodeFields],
);

export const UpdateNode = graphql(
  `
    mutation UpdateNode($id: ID!, $input: UpdateNodeInput!) {
      updateNode(id: $id, input: $input) { ...NodeFields }
    }
  `,
  [NodeFields],
);

export const RemoveNode = graphql(`
  mutation RemoveNode($id: ID!, $forget: Boolean!) { removeNode(id: $id, forget: $forget) { id } }
`);

export type ChangeSet = ResultOf<typeof Changes>["changes"];
export type Service = ResultOf<typeof ServiceFields>;
export type ServiceAction = Service["allowedActions"][number];
export type LaunchStep = NonNullable<Service["progress"]>["stepCode"];
export type UwsNode = ResultOf<typeof NodeFields>;
export type Warning = ResultOf<typeof Warnings>["nodes"][number]["warnings"][number];
export type BackupStatesPage = ResultOf<typeof BackupStates>;
export type BackupHealth = BackupStatesPage["services"]["nodes"][number]["backup"]["state"];
export type NodeAction = UwsNode["allowedActions"][number];
export type UwsEvent = ResultOf<typeof EventFields>;
export type ReasonCode = NonNullable<UwsEvent["reasonCode"]>;
export type Template = ResultOf<typeof Templates>["templates"][number];
export type RetainedData = ResultOf<typeof Retained>["retainedData"][number];
export type Credentials = ResultOf<typeof Reveal>["revealCredentials"];
export type HealthCheck = ResultOf<typeof CheckHealth>["checkServiceHealth"];
export type Kind = Service["kind"];
export type Viewer = ResultOf<typeof CurrentViewer>["viewer"];
export type LaunchInput = VariablesOf<typeof Launch>["input"];
export type NodeInput = VariablesOf<typeof RegisterNode>["input"];
export type EventFilter = NonNullable<VariablesOf<typeof EventsPage>["filter"]>;
