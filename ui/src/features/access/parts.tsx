import { type ReactNode, useCallback, useEffect } from "react";
import { type TypedDocumentNode, useQuery } from "urql";
import { Button } from "../../components/Button";
import { cx } from "../../components/cx";
import { Failure, Loading } from "../../components/Empty";
import { Ago } from "../../components/Time";
import { asApiError } from "../../graphql/client";
import type { Kind } from "../../graphql/documents";
import { absolute, until, useTicking } from "../../lib/time";
import { kindNames } from "../../model/kinds";
import type { Role } from "../../model/rights";

const freshEvery = 10_000; // ms; nothing tells that a credential was used or has ended

/** The newest answer to a query, asked again every now and then while the page is looked at; `instead` is for before. */
export function useFresh<Data>(query: TypedDocumentNode<Data, Record<string, never>>) {
  const [{ data, error, fetching }, again] = useQuery({ query, variables: {}, requestPolicy: "cache-and-network" });
  const look = useCallback(() => again({ requestPolicy: "network-only" }), [again]);
  useEffect(() => {
    const timer = setInterval(() => document.visibilityState === "visible" && look(), freshEvery);
    return () => clearInterval(timer);
  }, [look]);
  const instead = error ? (
    <Failure
      message={asApiError(error).message}
      retry={
        <Button small busy={fetching} onClick={look}>
          Try again
        </Button>
      }
    />
  ) : (
    <Loading />
  );
  return { data, instead };
}

export function RoleBadge({ role, className }: { role: Role; className?: string }) {
  return (
    <span
      className={cx(
        "inline-flex items-center rounded border px-1.5 text-xs font-medium whitespace-nowrap",
        role === "ADMIN" ? "border-accent text-accent-text" : "border-line-strong text-muted",
        className,
      )}
    >
      {role}
    </span>
  );
}

export const kindWords = (kinds: readonly Kind[]) =>
  kinds.length === 0 ? "all kinds" : kinds.map((kind) => kindNames[kind]).join(", ");

export function Used({ at }: { at: string | null }) {
  return at ? (
    <>
      used <Ago at={at} />
    </>
  ) : (
    "never used"
  );
}

export function Ends({ at }: { at: string | null }) {
  const then = at ? Date.parse(at) : 0;
  const text = useTicking((now) => (!at ? "never ends" : then <= now ? "has ended" : `ends ${until(then, now)}`));
  return <span title={at ? absolute(then) : undefined}>{text}</span>;
}

/** One token or session. */
export function Row({
  icon,
  name,
  badges,
  children,
  action,
  ...rest
}: {
  icon: ReactNode;
  name: string;
  badges: ReactNode;
  children: ReactNode;
  action: ReactNode;
  "data-token"?: string;
  "data-session"?: string;
}) {
  return (
    <li className="flex flex-wrap items-center gap-x-4 gap-y-3 rounded-xl border border-line bg-surface p-4" {...rest}>
      <span
        className="flex size-9 shrink-0 items-center justify-center rounded-lg bg-sunken text-muted"
        aria-hidden="true"
      >
        {icon}
      </span>
      <div className="min-w-48 flex-1">
        <div className="flex flex-wrap items-center gap-x-2.5 gap-y-1">
          <h2 className="min-w-0 font-semibold [overflow-wrap:anywhere]">{name}</h2>
          {badges}
        </div>
        {children}
      </div>
      {action}
    </li>
  );
}
