import type { ReactNode } from "react";
import { CopyButton } from "./Copy";

/** The line of an engine's log that tells why it failed and, below it, a link to the rest. */
export function LogLine({ text, link }: { text: string; link?: ReactNode }) {
  return (
    <>
      <div className="mt-1.5 flex items-start gap-1 rounded-md border border-line bg-page py-1 pr-1 pl-2.5">
        <span className="sr-only">The engine's log:</span>
        <code data-log-line className="min-w-0 flex-1 py-1 font-mono text-xs leading-5 [overflow-wrap:anywhere]">
          {text}
        </code>
        <CopyButton text={text} what="the line of the log" />
      </div>
      {link && <p className="mt-1 text-[0.8125rem]">{link}</p>}
    </>
  );
}
