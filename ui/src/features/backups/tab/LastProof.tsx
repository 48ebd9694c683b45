import { StatusText } from "../../../components/Status";
import { sentence } from "../../../lib/format";
import { zoned } from "../../../lib/time";
import type { Status } from "../../../model/status";
import type { Backup, Proof } from "../documents";
import { proofWords, timeOf } from "../words";

const outcome = (p: Proof): Status =>
  p.proven
    ? { group: "healthy", word: "Proven" }
    : p.noRoom
      ? { group: "unknown", word: "Not proven: no room" }
      : { group: "unhealthy", word: "Proof failed" };

/** What the newest proof found. */
export function LastProof({ backups }: { backups: readonly Backup[] }) {
  let newest: { backup: Backup; proof: Proof } | undefined;
  for (const backup of backups) {
    const { proof } = backup;
    if (proof && (!newest || Date.parse(proof.at) > Date.parse(newest.proof.at))) newest = { backup, proof };
  }
  if (!newest) return null;
  const { backup, proof } = newest;
  const { group, word } = outcome(proof);
  return (
    <section aria-labelledby="last-proof">
      <h3 id="last-proof" className="mb-2 font-medium">
        Last proof
      </h3>
      <div className="rounded-lg border border-line px-3.5 py-2.5" data-proof={proof.proven ? "proven" : "not proven"}>
        <p className="flex flex-wrap items-center gap-x-3 gap-y-0.5">
          <StatusText group={group} word={word} />
          <time dateTime={proof.at}>{zoned(Date.parse(proof.at))}</time>
        </p>
        <p className="numbers mt-0.5 text-[0.8125rem] text-muted [overflow-wrap:anywhere]">
          The backup of {zoned(timeOf(backup))} was restored on trial: {proofWords(proof)}.
        </p>
        {proof.reason && <p className="mt-1 [overflow-wrap:anywhere]">{sentence(proof.reason)}</p>}
        {proof.failures.length > 0 && (
          <ul className="mt-1 list-disc space-y-0.5 pl-5 text-[0.8125rem] text-bad-text">
            {proof.failures.map((f) => (
              <li key={f} className="[overflow-wrap:anywhere]">
                {f}
              </li>
            ))}
          </ul>
        )}
      </div>
    </section>
  );
}
