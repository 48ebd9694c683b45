import { Link, useParams } from "@tanstack/react-router";
import type { Kind } from "../../graphql/documents";
import { type ListPath, pathOf } from "../../model/kinds";
import { can } from "../../model/session";

interface Props {
  service: { id: string; kind: Kind };
  /** The run whose lines are shown; all runs if it is not known. */
  run?: string | undefined;
}

/** Leads to the log of a service, for those who may read it. */
export function LogLink({ service, run }: Props) {
  const { list } = useParams({ strict: false }) as { list?: ListPath };
  if (!can("readLogs")) return null;
  return (
    <Link
      to="/$list/$id"
      params={{ list: list ?? pathOf[service.kind], id: service.id }}
      search={(before: object) => ({ ...before, tab: "logs", run, contains: undefined, level: undefined }) as never}
      className="text-accent-text"
    >
      {run ? "Show the log of that run" : "Show the log"}
    </Link>
  );
}
