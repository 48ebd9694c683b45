import { Check, Copy as CopyIcon } from "lucide-react";
import { useEffect, useState } from "react";
import { toast } from "../lib/toast";
import { cx } from "./cx";

interface Props {
  text: string;
  what: string;
  className?: string;
  onCopied?: () => void;
}

/** Copies a text; says so for two seconds. */
export function CopyButton({ text, what, className, onCopied }: Props) {
  const [copied, setCopied] = useState(false);
  useEffect(() => {
    if (!copied) return;
    const timer = setTimeout(() => setCopied(false), 2_000);
    return () => clearTimeout(timer);
  }, [copied]);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      setCopied(true);
      onCopied?.();
    } catch {
      toast.failed(`${what} was not copied`, "The browser does not allow it. Select the text and copy it.");
    }
  };
  return (
    <button
      type="button"
      onClick={copy}
      aria-label={copied ? `Copied ${what}` : `Copy ${what}`}
      title={copied ? "Copied" : "Copy"}
      className={cx(
        "inline-flex size-7 shrink-0 items-center justify-center rounded-md text-muted hover:bg-sunken hover:text-text",
        copied && "text-good-text",
        className,
      )}
    >
      {copied ? <Check size={15} aria-hidden="true" /> : <CopyIcon size={15} aria-hidden="true" />}
      <span className="sr-only" role="status">
        {copied ? "Copied" : ""}
      </span>
    </button>
  );
}
