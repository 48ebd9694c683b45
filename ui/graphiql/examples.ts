/** Operations that the playground opens with, each in a tab of its own. */
export const examples: readonly { name: string; query: string; variables?: string }[] = [
  {
    name: "Services",
    query: `# All services: what was asked for, where they are, and how they do.
query Services {
  services(first: 50) {
    totalCount
    nodes {
      name
      kind
      phase
      health
      reason
      endpoint
      restarts
      createdAt
    }
  }
}
`,
  },
  {
    name: "Launch",
    query: `# Launches a bucket. It answers at once; watch it come up with the subscription.
mutation Launch($input: LaunchServiceInput!) {
  launchService(input: $input) {
    id
    name
    phase
  }
}
`,
    variables: `{
  "input": { "kind": "BUCKET", "name": "photos" }
}
`,
  },
  {
    name: "Health, live",
    query: `# One message for every change of a service's phase or health. Run it, then launch something.
subscription Health {
  serviceHealthChanged {
    at
    name
    phase
    health
    reason
    cursor
  }
}
`,
  },
  {
    name: "What happened",
    query: `# The newest events, with the reasons in plain words.
query WhatHappened {
  events(first: 20) {
    nodes {
      at
      serviceName
      nodeName
      phase
      health
      reason
      exitCode
      nextAttemptAt
    }
  }
}
`,
  },
  {
    name: "Connect",
    query: `# Credentials and ready-made texts for clients. They are secrets.
mutation Connect($id: ID!) {
  revealCredentials(id: $id) {
    endpoint
    connections {
      name
      value
    }
  }
}
`,
    variables: `{
  "id": "paste the id of a service"
}
`,
  },
];
