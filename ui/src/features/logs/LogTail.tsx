import { ChevronRight } from "lucide-react";
import { useLayoutEffect, useRef, useState } from "react";
import { cx } from "../../components/cx";
import { plural } from "../../lib/format";
import type { LogLine } from "./documents";
import { LogLink } from "./LogLink";
import { levelWords, timeOf } from "./text";
import "./logs.css";

interface Props {
  service: Parameters<typeof LogLink>[0]["service"];
  lines: readonly LogLine[];
  open: boolean;
}

/** The last lines of a run that failed, and the way to the rest. */
export function LogTail({ service, lines, open: atFirst }: Props) {
  const [open, setOpen] = useState(atFirst);
  const box = useRef<HTMLDivElement>(null);
  // biome-ignore lint/correctness/useExhaustiveDependencies: the end is shown when it opens, and when there are other lines
  useLayoutEffect(() => {
    if (box.current) box.current.scrollTop = box.current.scrollHeight;
  }, [open, lines]);
  return (
    <div className="mt-2">
      <div className="flex flex-wrap items-center gap-x-3 text-[0.8125rem]">
        <button
          type="button"
          aria-expanded={open}
          onClick={() => setOpen(!open)}
          className="inline-flex min-h-7 items-center gap-1 rounded text-accent-text hover:underline"
        >
          <ChevronRight size={14} aria-hidden="true" className={cx("transition-transform", open && "rotate-90")} />
          {lines.length === 1 ? "The last line of that run" : `The last ${plural(lines.length, "line")} of that run`}
        </button>
        <LogLink service={service} run={lines.at(-1)?.run ?? undefined} />
      </div>
      {open && (
        <div
          ref={box}
          role="log"
          aria-live="off"
          aria-label="The last lines of the run that failed"
          // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard
          tabIndex={0}
          data-log-tail
          className="log log-wrap mt-1 max-h-60 overflow-y-auto rounded-md border border-line bg-page py-1.5"
        >
          {lines.map((line) => (
            <Line key={line.cursor} line={line} />
          ))}
        </div>
      )}
    </div>
  );
}

function Line({ line }: { line: LogLine }) {
  return (
    <div className="log-line" data-level={line.level ?? undefined} data-stream={line.stream}>
      <time className="log-time" dateTime={line.at} title={line.at}>
        {timeOf(line.at).clock}
      </time>
      {line.level && <span className="sr-only">{levelWords[line.level]}</span>}
      <span className="log-text">{line.text}</span>
    </div>
  );
}
