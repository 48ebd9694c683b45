import { absolute, ago, useTicking } from "../lib/time";

/** How long ago something was; the exact time is its tip. */
export function Ago({ at, className }: { at: string; className?: string }) {
  const then = Date.parse(at);
  const text = useTicking((now) => ago(then, now));
  return (
    <time dateTime={at} title={absolute(then)} className={className}>
      {text}
    </time>
  );
}
