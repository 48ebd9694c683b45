import type { Group } from "../model/status";
import { cx } from "./cx";

const colours: Record<Group, string> = {
  healthy: "text-good",
  suspect: "text-warn",
  unhealthy: "text-bad",
  progress: "text-busy",
  stopped: "text-off",
  unknown: "text-off",
};

const textColours: Record<Group, string> = {
  healthy: "text-good-text",
  suspect: "text-warn-text",
  unhealthy: "text-bad-text",
  progress: "text-busy-text",
  stopped: "text-off-text",
  unknown: "text-off-text",
};

/** A shape of its own for each group, so that nobody needs to see colours. */
export function Mark({ group, size = 11, still = false }: { group: Group; size?: number; still?: boolean }) {
  return (
    <svg
      width={size}
      height={size}
      viewBox="0 0 12 12"
      aria-hidden="true"
      data-mark={group}
      className={cx("shrink-0", colours[group], group === "progress" && !still && "spin")}
    >
      <Shape group={group} />
    </svg>
  );
}

function Shape({ group }: { group: Group }) {
  switch (group) {
    case "healthy":
      return <circle cx="6" cy="6" r="5" fill="currentColor" />;
    case "suspect":
      return <path d="M6 0 12 6 6 12 0 6Z" fill="currentColor" />;
    case "unhealthy":
      return <rect x="1" y="1" width="10" height="10" rx="1.5" fill="currentColor" />;
    case "progress":
      return (
        <g fill="none" stroke="currentColor" strokeWidth="2">
          <circle cx="6" cy="6" r="4.6" opacity="0.3" />
          <path d="M6 1.4A4.6 4.6 0 0 1 10.6 6" strokeLinecap="round" />
        </g>
      );
    case "stopped":
      return <rect x="2" y="2" width="8" height="8" rx="1" fill="none" stroke="currentColor" strokeWidth="2" />;
    case "unknown":
      return (
        <circle cx="6" cy="6" r="4.6" fill="none" stroke="currentColor" strokeWidth="2" strokeDasharray="2.4 2.4" />
      );
  }
}

/** Shape, word and colour together. */
export function StatusText({ group, word, className }: { group: Group; word: string; className?: string }) {
  return (
    <span className={cx("inline-flex items-center gap-2 whitespace-nowrap", textColours[group], className)}>
      <Mark group={group} />
      {word}
    </span>
  );
}
