import { useCallback, useRef } from "react";
import { Button } from "../../../components/Button";
import { Dialog, DialogActions } from "../../../components/Dialog";
import { Failure, Loading } from "../../../components/Empty";
import { runUncached } from "../../../graphql/client";
import { plural, sentence } from "../../../lib/format";
import { zoned } from "../../../lib/time";
import { useAnswer } from "../../../model/answer";
import { dialogs } from "../../../model/dialogs";
import { BackupContents, type Group } from "../documents";
import { amountWords, timeOf } from "../words";

/** What is in a backup: its databases with their tables, its buckets, its streams. */
export function ContentsDialog({ backupId }: { backupId: string }) {
  const load = useCallback(async () => (await runUncached(BackupContents, { id: backupId })).backup, [backupId]);
  const [{ data, error }] = useAnswer(load);
  const close = useRef<HTMLButtonElement>(null);
  return (
    <Dialog
      open
      wide
      onClose={dialogs.close}
      title={data ? <>Contents of the backup of {data.serviceName}</> : "Contents of the backup"}
      description={data ? `As of ${zoned(timeOf(data))}. What is estimated is the engine's own estimate.` : undefined}
      initialFocus={close}
    >
      {error && data === undefined ? (
        <Failure message={error} />
      ) : data === undefined ? (
        <Loading rows={3} />
      ) : data === null ? (
        <p className="mt-4 text-muted">The backup is gone.</p>
      ) : data.contents.length === 0 ? (
        <p className="mt-4 text-muted">Nothing is known of its contents.</p>
      ) : (
        <ul className="mt-4 space-y-2" aria-label="Contents">
          {data.contents.map((g) => (
            <li key={`${g.type} ${g.name}`} className="rounded-lg border border-line">
              <Part group={g} open={data.contents.length <= 3} />
            </li>
          ))}
        </ul>
      )}
      <DialogActions>
        <Button ref={close} onClick={dialogs.close}>
          Close
        </Button>
      </DialogActions>
    </Dialog>
  );
}

function Part({ group: g, open }: { group: Group; open: boolean }) {
  const head = (
    <>
      <span className="font-medium [overflow-wrap:anywhere]">
        {[sentence(g.type), g.name].filter(Boolean).join(" ")}
      </span>{" "}
      <span className="numbers text-muted">{g.values.map(amountWords).join(", ")}</span>
    </>
  );
  if (g.items.length === 0) return <div className="px-3.5 py-2.5">{head}</div>;
  return (
    <details open={open}>
      <summary className="px-3.5 py-2.5">{head}</summary>
      <ul
        className="max-h-72 overflow-y-auto border-t border-line py-1"
        aria-label={`${plural(g.items.length, "part")} of ${g.name}`}
        // biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls, and the keyboard must reach it
        tabIndex={0}
      >
        {g.items.map((item) => (
          <li key={`${item.type} ${item.name}`} className="flex flex-wrap justify-between gap-x-4 px-3.5 py-1 pl-8">
            <span className="font-mono text-[0.8125rem] [overflow-wrap:anywhere]">{item.name}</span>
            <span className="numbers text-[0.8125rem] text-muted">{item.values.map(amountWords).join(", ")}</span>
          </li>
        ))}
      </ul>
    </details>
  );
}
