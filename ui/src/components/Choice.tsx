import { cx } from "./cx";

interface Props<T extends string> {
  label: string;
  options: readonly T[];
  value: T;
  onChange: (value: T) => void;
}

/** A row of a few short options, one of which is chosen. */
export function Choice<T extends string>({ label, options, value, onChange }: Props<T>) {
  return (
    <div className="flex gap-0.5 rounded-md bg-sunken p-0.5" role="group" aria-label={label}>
      {options.map((option) => (
        <button
          key={option}
          type="button"
          aria-pressed={option === value}
          onClick={() => onChange(option)}
          className={cx(
            "min-h-6 min-w-8 rounded px-2 text-xs",
            option === value ? "bg-raised text-text shadow-sm ring-1 ring-line" : "text-muted hover:text-text",
          )}
        >
          {option}
        </button>
      ))}
    </div>
  );
}
