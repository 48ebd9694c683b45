import type { ReactNode } from "react";
import { cx } from "./cx";

/** What stands where there is nothing to show, and what to do about it. */
export function Empty({
  icon,
  title,
  children,
  actions,
}: {
  icon: ReactNode;
  title: string;
  children?: ReactNode;
  actions?: ReactNode;
}) {
  return (
    <div className="mx-auto flex max-w-md flex-col items-center px-6 py-16 text-center">
      <div className="mb-4 flex size-12 items-center justify-center rounded-xl bg-sunken text-muted" aria-hidden="true">
        {icon}
      </div>
      <h2 className="text-base font-semibold">{title}</h2>
      {children && <div className="mt-1.5 text-muted text-pretty">{children}</div>}
      {actions && <div className="mt-5 flex flex-wrap justify-center gap-2.5">{actions}</div>}
    </div>
  );
}

/** Grey bars where rows will be. */
export function Loading({ rows = 6, className }: { rows?: number; className?: string }) {
  return (
    <div role="status" className={cx("space-y-3 p-4", className)}>
      <span className="sr-only">Loading…</span>
      {Array.from({ length: rows }, (_, i) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: the bars have no identity
        <div key={i} className="pulse h-6 rounded-md bg-sunken" aria-hidden="true" />
      ))}
    </div>
  );
}

/** An error where something should have been, with a way to try again. */
export function Failure({ message, retry }: { message: string; retry?: ReactNode }) {
  return (
    <div
      role="alert"
      className="m-4 flex flex-wrap items-center justify-between gap-3 rounded-lg border border-bad bg-bad-soft p-3.5 text-bad-text"
    >
      <span className="min-w-0 [overflow-wrap:anywhere]">{message}</span>
      {retry}
    </div>
  );
}
