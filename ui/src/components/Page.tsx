import { type ReactNode, useLayoutEffect, useRef } from "react";
import { isTyping } from "../lib/focus";
import { dialogs } from "../model/dialogs";
import { useTitle } from "../model/hooks";

/** A page with its heading, which takes the focus when the page is gone to. */
export function Page({
  title,
  count,
  toolbar,
  children,
}: {
  title: string;
  count?: ReactNode;
  toolbar?: ReactNode;
  children: ReactNode;
}) {
  useTitle(title);
  return (
    <div className="flex h-full min-h-0 flex-col">
      <header className="flex flex-wrap items-center gap-x-4 gap-y-3 border-b border-line bg-surface px-4 py-3">
        <Heading title={title} count={count} />
        {toolbar}
      </header>
      <div className="min-h-0 flex-1 overflow-y-auto">{children}</div>
    </div>
  );
}

let arrived = false; // the first page does not take the focus from where the browser put it

export function Heading({ title, count }: { title: string; count?: ReactNode }) {
  const ref = useRef<HTMLHeadingElement>(null);
  // biome-ignore lint/correctness/useExhaustiveDependencies: another title is another page
  useLayoutEffect(() => {
    if (arrived && !dialogs.get() && !isTyping(document.activeElement)) ref.current?.focus({ preventScroll: true });
    arrived = true;
  }, [title]);
  return (
    <h1 ref={ref} tabIndex={-1} className="flex min-h-9 items-center gap-2.5 text-lg font-semibold tracking-tight">
      {title}
      {count !== undefined && <span className="numbers text-sm font-normal text-muted">{count}</span>}
    </h1>
  );
}
