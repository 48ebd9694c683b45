import { CircleAlert } from "lucide-react";
import { type ComponentProps, type ReactNode, useId } from "react";
import { cx } from "./cx";

const box =
  "w-full min-h-9 rounded-md border bg-page px-3 text-text placeholder:text-muted hover:border-line-strong focus-visible:outline-2";

interface FieldProps {
  label: ReactNode;
  hint?: ReactNode;
  /** What is wrong, in words. */
  error?: ReactNode;
  optional?: boolean;
  children: (wiring: {
    id: string;
    "aria-describedby": string | undefined;
    "aria-invalid": true | undefined;
  }) => ReactNode;
}

/** A label, an input, and below it a hint or what is wrong with what was written. */
export function Field({ label, hint, error, optional, children }: FieldProps) {
  const id = useId();
  const note = error ? `${id}-error` : hint ? `${id}-hint` : undefined;
  return (
    <div className="min-w-0">
      <label htmlFor={id} className="mb-1.5 block font-medium">
        {label}
        {optional && <span className="font-normal text-muted"> (optional)</span>}
      </label>
      {children({ id, "aria-describedby": note, "aria-invalid": error ? true : undefined })}
      {error ? (
        <Problem id={`${id}-error`}>{error}</Problem>
      ) : (
        hint && (
          <p id={`${id}-hint`} className="mt-1.5 text-[0.8125rem] text-muted">
            {hint}
          </p>
        )
      )}
    </div>
  );
}

export function Problem({ id, children, className }: { id?: string; children: ReactNode; className?: string }) {
  return (
    <div id={id} role="alert" className={cx("mt-1.5 flex gap-1.5 text-[0.8125rem] text-bad-text", className)}>
      <CircleAlert size={15} aria-hidden="true" className="mt-0.5 shrink-0" />
      <div className="min-w-0 [overflow-wrap:anywhere]">{children}</div>
    </div>
  );
}

export function Input({ className, ...rest }: ComponentProps<"input">) {
  return (
    <input
      autoComplete="off"
      spellCheck={false}
      className={cx(box, rest["aria-invalid"] ? "border-bad" : "border-line", className)}
      {...rest}
    />
  );
}

export function TextArea({ className, ...rest }: ComponentProps<"textarea">) {
  return (
    <textarea
      autoComplete="off"
      spellCheck={false}
      rows={3}
      className={cx(box, "py-1.5", rest["aria-invalid"] ? "border-bad" : "border-line", className)}
      {...rest}
    />
  );
}

export function Select({ className, children, ...rest }: ComponentProps<"select">) {
  return (
    <select className={cx(box, "pr-8", rest["aria-invalid"] ? "border-bad" : "border-line", className)} {...rest}>
      {children}
    </select>
  );
}
