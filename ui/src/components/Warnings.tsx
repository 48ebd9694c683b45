import { TriangleAlert } from "lucide-react";
import { cx } from "./cx";
import { Ago } from "./Time";

interface Warning {
  code: string;
  text: string;
  since: string;
}

/** A mark for what has warnings; they are its tip. */
export function WarningBadge({ warnings, className }: { warnings: readonly Warning[]; className?: string }) {
  if (warnings.length === 0) return null;
  const text = warnings.map((w) => w.text).join(" ");
  return (
    <span title={text} data-warnings={warnings.length} className={cx("inline-flex shrink-0 text-warn-text", className)}>
      <TriangleAlert size={15} aria-hidden="true" />
      <span className="sr-only">Warning: {text}</span>
    </span>
  );
}

/** Warnings in full. */
export function WarningList({ warnings }: { warnings: readonly Warning[] }) {
  if (warnings.length === 0) return null;
  return (
    <ul aria-label="Warnings" className="space-y-2">
      {warnings.map((w) => (
        <li key={w.code} className="flex gap-2.5 rounded-lg border border-warn bg-warn-soft px-3.5 py-2.5">
          <TriangleAlert size={16} aria-hidden="true" className="mt-0.5 shrink-0 text-warn-text" />
          <span className="min-w-0 [overflow-wrap:anywhere]">
            {w.text}{" "}
            <span className="whitespace-nowrap text-muted">
              (<Ago at={w.since} />)
            </span>
          </span>
        </li>
      ))}
    </ul>
  );
}
