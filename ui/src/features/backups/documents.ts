import { graphql, type ResultOf, type VariablesOf } from "../../graphql/graphql";

const BackupFields = graphql(`
  fragment BackupFields on Backup @_unmask {
    id
    serviceId
    serviceName
    kind
    template { name version }
    nodeId
    targetId
    policyId
    trigger
    state
    reason
    pinned
    createdAt
    startedAt
    finishedAt
    pausedSeconds
    bytes
    storedBytes
    files
    provenAt
    proof { at proven reason noRoom durationSeconds compared { what count } failures }
  }
`);

const RestoreFields = graphql(`
  fragment RestoreFields on Restore @_unmask {
    id
    purpose
    backupId
    kind
    name
    nodeId
    serviceId
    state
    reason
    createdAt
    finishedAt
    bytes
  }
`);

const TargetFields = graphql(`
  fragment TargetFields on BackupTarget @_unmask {
    id
    name
    folder
    serviceId
    endpoint
    bucket
    prefix
    recoveryKitTakenAt
    reachable
    reason
    checkedAt
    storedBytes
    storeSavedAt
    backupCount
    policyCount
    warnings
    writeMiBPerSecond
  }
`);

const PolicyFields = graphql(`
  fragment PolicyFields on BackupPolicy @_unmask {
    id
    serviceId
    kinds
    labels { name value }
    targetId
    schedule
    timeZone
    keep { last daily weekly monthly }
    pointInTime
    proveEvery
    proveNodeId
    finalBackup
    paused
    serviceCount
  }
`);

/** All that the tab of a service shows. The service may be gone. */
export const ServiceBackups = graphql(
  `
    query ServiceBackups($id: ID!, $first: Int!) {
      service(id: $id) {
        id
        backup {
          state reason policyId lastAt provenAt restorableFrom restorableTo pointInTime nextAt sizeBytes count runningId
        }
      }
      backups(filter: { serviceId: $id }, first: $first) {
        nodes { ...BackupFields }
        pageInfo { hasNextPage }
      }
      restores(first: 200) { nodes { ...RestoreFields } }
      backupTargets { ...TargetFields }
      backupPolicies { ...PolicyFields }
    }
  `,
  [BackupFields, RestoreFields, TargetFields, PolicyFields],
);

/** All that the page shows. */
export const BackupsOverview = graphql(
  `
    query BackupsOverview($filter: BackupFilter, $first: Int!) {
      backups(filter: $filter, first: $first) {
        nodes { ...BackupFields }
        pageInfo { hasNextPage }
      }
      restores(first: 200) { nodes { ...RestoreFields } }
      backupTargets { ...TargetFields }
      backupPolicies { ...PolicyFields }
    }
  `,
  [BackupFields, RestoreFields, TargetFields, PolicyFields],
);

export const PlacesAndPolicies = graphql(
  `
    query PlacesAndPolicies {
      backupTargets { ...TargetFields }
      backupPolicies { ...PolicyFields }
    }
  `,
  [TargetFields, PolicyFields],
);

export const BackupContents = graphql(`
  query BackupContents($id: ID!) {
    backup(id: $id) {
      id
      serviceName
      createdAt
      startedAt
      contents {
        type name values { name value estimate }
        items { type name values { name value estimate } }
      }
    }
  }
`);

export const RestoreById = graphql(
  `
    query RestoreById($id: ID!) {
      restore(id: $id) { ...RestoreFields }
    }
  `,
  [RestoreFields],
);

export const BackupProgressFeed = graphql(`
  subscription BackupProgress($id: ID!) {
    backupProgress(id: $id) { id step text bytes totalBytes bytesPerSecond remainingSeconds }
  }
`);

export const BackUp = graphql(`
  mutation BackUp($id: ID!, $targetId: ID) { backUpService(id: $id, targetId: $targetId) { id } }
`);
export const CancelBackup = graphql(`mutation CancelBackup($id: ID!) { cancelBackup(id: $id) { id } }`);
export const PinBackup = graphql(`
  mutation PinBackup($id: ID!, $pinned: Boolean!) { pinBackup(id: $id, pinned: $pinned) { id } }
`);
export const DeleteBackup = graphql(`mutation DeleteBackup($id: ID!) { deleteBackup(id: $id) { id } }`);
export const RestoreBackup = graphql(
  `
    mutation RestoreBackup($id: ID!, $input: RestoreBackupInput!) {
      restoreBackup(id: $id, input: $input) { ...RestoreFields }
    }
  `,
  [RestoreFields],
);
export const ProveBackup = graphql(`mutation ProveBackup($id: ID!) { proveBackup(id: $id) { id } }`);
export const CancelRestore = graphql(`mutation CancelRestore($id: ID!) { cancelRestore(id: $id) { id } }`);
export const SetPolicy = graphql(`
  mutation SetPolicy($id: ID, $input: BackupPolicyInput!) { setBackupPolicy(id: $id, input: $input) { id serviceCount } }
`);
export const DeletePolicy = graphql(`mutation DeletePolicy($id: ID!) { deleteBackupPolicy(id: $id) { id } }`);
export const CreateTarget = graphql(
  `
    mutation CreateTarget($input: CreateBackupTargetInput!) {
      createBackupTarget(input: $input) { ...TargetFields }
    }
  `,
  [TargetFields],
);
export const ImportTarget = graphql(
  `
    mutation ImportTarget($input: ImportBackupTargetInput!) {
      importBackupTarget(input: $input) { ...TargetFields }
    }
  `,
  [TargetFields],
);
export const TestTarget = graphql(`
  mutation TestTarget($id: ID!) { testBackupTarget(id: $id) { id name reachable reason } }
`);
export const DeleteTarget = graphql(`mutation DeleteTarget($id: ID!) { deleteBackupTarget(id: $id) { id } }`);
export const RecoveryKit = graphql(`mutation RecoveryKit($id: ID!) { recoveryKit(id: $id) { recoveryKit } }`);

export type Backup = ResultOf<typeof BackupFields>;
export type Proof = NonNullable<Backup["proof"]>;
export type BackupState = Backup["state"];
export type Restore = ResultOf<typeof RestoreFields>;
export type Target = ResultOf<typeof TargetFields>;
export type Policy = ResultOf<typeof PolicyFields>;
export type PolicyInput = VariablesOf<typeof SetPolicy>["input"];
export type TargetInput = VariablesOf<typeof CreateTarget>["input"];
export type BackupFilter = NonNullable<VariablesOf<typeof BackupsOverview>["filter"]>;
export type ServiceBackup = NonNullable<ResultOf<typeof ServiceBackups>["service"]>["backup"];
export type Progress = ResultOf<typeof BackupProgressFeed>["backupProgress"];
export type Group = NonNullable<ResultOf<typeof BackupContents>["backup"]>["contents"][number];
export type Amount = Group["values"][number];
