import { Link } from "@tanstack/react-router";
import { StatusText } from "../../components/Status";
import { bytes, sentence } from "../../lib/format";
import { zoned } from "../../lib/time";
import { useService } from "../../model/hooks";
import { kindNames, pathOf } from "../../model/kinds";
import { cancelRestore } from "./actions";
import type { Restore } from "./documents";
import { Running } from "./Running";
import { isUnderWay, restoreStateOf } from "./words";

const titles: Record<Restore["purpose"], (name: string) => string> = {
  RESTORE: (name) => `Restore to ${name}`,
  PROOF: () => "Proof: a backup is restored on trial",
  MOVE: (name) => `Move of ${name}`,
};

/** A restore: how far it is or how it ended, and the service that it made. */
export function RestoreRow({ restore: r }: { restore: Restore }) {
  const made = useService(r.serviceId ?? "");
  const { group, word } = restoreStateOf[r.state];
  const title = titles[r.purpose](r.name);
  if (isUnderWay(r)) {
    return (
      <li data-restore={r.name}>
        <Running id={r.id} title={title} cancel={() => void cancelRestore(r.id)} />
      </li>
    );
  }
  return (
    <li data-restore={r.name} className="rounded-lg border border-line bg-surface px-3.5 py-2.5">
      <p className="flex flex-wrap items-center gap-x-3 gap-y-1">
        <StatusText group={group} word={word} />
        <span className="min-w-0 font-medium [overflow-wrap:anywhere]">{title}</span>
        {made && (
          <Link to="/$list/$id" params={{ list: pathOf[made.kind], id: made.id }} className="text-accent-text">
            Open {made.name}
          </Link>
        )}
      </p>
      <p className="mt-0.5 text-[0.8125rem] text-muted [overflow-wrap:anywhere]">
        {zoned(Date.parse(r.createdAt))} · {kindNames[r.kind]} · {bytes(r.bytes)}
        {r.state === "FAILED" && ` · ${sentence(r.reason)}`}
      </p>
    </li>
  );
}
