import { useEffect, useRef } from "react";
import { CopyButton } from "../../components/Copy";

/** A secret, shown once; it has the focus, so that it can be copied at once. */
export function Secret({ text, what }: { text: string; what: string }) {
  const ref = useRef<HTMLElement>(null);
  useEffect(() => ref.current?.focus(), []);
  return (
    <div className="mt-4 flex items-center gap-1 rounded-md border border-line bg-page py-1.5 pr-1 pl-3">
      <code
        ref={ref}
        tabIndex={-1}
        data-secret
        className="min-w-0 flex-1 font-mono text-[0.8125rem] select-all [overflow-wrap:anywhere]"
      >
        {text}
      </code>
      <CopyButton text={text} what={what} />
    </div>
  );
}
