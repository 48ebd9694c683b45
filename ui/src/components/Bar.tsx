import { cx } from "./cx";

/** How far something is. */
export function Bar({ percent, label, className }: { percent: number; label: string; className?: string }) {
  return (
    <span
      role="progressbar"
      aria-label={label}
      aria-valuemin={0}
      aria-valuemax={100}
      aria-valuenow={Math.round(percent)}
      className={cx("block h-1.5 overflow-hidden rounded-full bg-line", className)}
    >
      <span className="block h-full rounded-full bg-busy" style={{ width: `${percent}%` }} />
    </span>
  );
}
