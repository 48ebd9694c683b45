import type { ReactNode } from "react";
import { Bar } from "../../components/Bar";
import { Button, Spinner } from "../../components/Button";
import { sentence } from "../../lib/format";
import { can } from "../../model/session";
import { useProgress } from "./progress";
import { percentOf, progressWords } from "./words";

interface Props {
  id: string;
  title: ReactNode;
  cancel: () => void;
}

/** A backup or restore that is under way: its phase, bytes, rate and time left. */
export function Running({ id, title, cancel }: Props) {
  const progress = useProgress(id);
  const percent = progress && percentOf(progress);
  return (
    <section aria-label="Progress" data-progress={id} className="rounded-lg border border-line bg-surface p-3.5">
      <div className="flex flex-wrap items-center gap-x-3 gap-y-2">
        <span className="flex min-w-0 flex-1 items-center gap-2 font-medium">
          <Spinner />
          <span className="min-w-0 [overflow-wrap:anywhere]">{title}</span>
        </span>
        {can("backUp") && (
          <Button small onClick={cancel}>
            Cancel
          </Button>
        )}
      </div>
      <p role="status" className="mt-1 text-muted">
        {progress ? sentence(progress.text) : "Waiting for the server"}
      </p>
      {percent !== undefined && <Bar percent={percent} label="Copied" className="mt-2" />}
      {progress && <p className="numbers mt-1.5 text-[0.8125rem] text-muted">{progressWords(progress) || "\u00a0"}</p>}
    </section>
  );
}
