import type { ReactNode } from "react";
import { cx } from "../../components/cx";

interface Props {
  name: ReactNode;
  value: string;
  /** What follows the value, such as "of 512 MiB". */
  of?: string | undefined;
  /** 0 to 1; without it there is no bar. */
  share?: number | undefined;
}

const high = 0.9;

/** One number that is true now and, where it has a limit, how much of it is used. */
export function Meter({ name, value, of, share }: Props) {
  const much = share !== undefined && share > high;
  return (
    <div className="min-w-0 rounded-lg border border-line px-3 py-2.5" data-meter>
      <dt className="flex justify-between gap-2 text-xs text-muted">
        <span className="truncate">{name}</span>
        {of && <span className="numbers whitespace-nowrap">{of}</span>}
      </dt>
      <dd className="numbers mt-0.5">
        <span className={cx("text-base font-semibold tracking-tight", much && "text-warn-text")}>{value}</span>
        {share !== undefined && (
          <span aria-hidden="true" className="mt-1.5 block h-1.5 overflow-hidden rounded-full bg-sunken">
            <span
              className={cx("block h-full min-w-[2px] rounded-full", much ? "bg-warn" : "bg-accent")}
              style={{ width: `${Math.min(100, share * 100)}%` }}
            />
          </span>
        )}
      </dd>
    </div>
  );
}
