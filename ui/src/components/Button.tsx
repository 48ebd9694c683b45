import { type ComponentProps, forwardRef, type ReactNode } from "react";
import { cx } from "./cx";

type Look = "primary" | "plain" | "ghost" | "danger" | "danger-plain";

const looks: Record<Look, string> = {
  primary: "bg-accent text-on-accent font-semibold hover:bg-accent-hover border-transparent",
  plain: "bg-surface text-text border-line hover:border-line-strong hover:bg-sunken",
  ghost: "bg-transparent text-muted border-transparent hover:bg-sunken hover:text-text",
  danger: "bg-bad text-white dark:text-on-accent font-semibold border-transparent hover:brightness-110",
  "danger-plain": "bg-surface text-bad-text border-line hover:border-bad hover:bg-bad-soft",
};

export interface ButtonProps extends ComponentProps<"button"> {
  look?: Look;
  small?: boolean;
  /** Shows that it is at work; it cannot be pressed meanwhile. */
  busy?: boolean;
  icon?: ReactNode;
}

export function buttonClass(look: Look = "plain", small = false, more?: string) {
  return cx(
    "inline-flex items-center justify-center gap-2 rounded-md border whitespace-nowrap select-none no-underline",
    "disabled:opacity-50 aria-disabled:opacity-60",
    small ? "min-h-8 px-2.5 text-[0.8125rem]" : "min-h-9 px-3.5",
    looks[look],
    more,
  );
}

export const Button = forwardRef<HTMLButtonElement, ButtonProps>(function Button(
  { look = "plain", small = false, busy = false, icon, children, className, onClick, ...rest },
  ref,
) {
  return (
    <button
      ref={ref}
      type="button"
      aria-busy={busy || undefined}
      aria-disabled={busy || undefined}
      className={buttonClass(look, small, className)}
      onClick={busy ? (event) => event.preventDefault() : onClick}
      {...rest}
    >
      {busy ? <Spinner /> : icon}
      {children}
    </button>
  );
});

export function Spinner({ size = 16 }: { size?: number }) {
  return (
    <svg
      width={size}
      height={size}
      viewBox="0 0 16 16"
      aria-hidden="true"
      className="spin shrink-0"
      fill="none"
      stroke="currentColor"
      strokeWidth="2"
    >
      <circle cx="8" cy="8" r="6" opacity="0.3" />
      <path d="M8 2a6 6 0 0 1 6 6" strokeLinecap="round" />
    </svg>
  );
}

/** A button that shows only a picture; its name is for those who do not see it, and shown as a tip. */
export const IconButton = forwardRef<HTMLButtonElement, ComponentProps<"button"> & { label: string }>(
  function IconButton({ label, className, children, ...rest }, ref) {
    return (
      <button
        ref={ref}
        type="button"
        aria-label={label}
        title={label}
        className={cx(
          "inline-flex size-8 shrink-0 items-center justify-center rounded-md text-muted hover:bg-sunken hover:text-text aria-expanded:bg-sunken",
          className,
        )}
        {...rest}
      >
        {children}
      </button>
    );
  },
);
