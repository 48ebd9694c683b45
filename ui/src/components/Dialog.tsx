import { Dialog as Base } from "@base-ui/react/dialog";
import type { ReactNode, RefObject } from "react";
import { cx } from "./cx";

interface Props {
  open: boolean;
  onClose: () => void;
  title: ReactNode;
  description?: ReactNode;
  children: ReactNode;
  wide?: boolean;
  /** A click beside it does not close it. */
  mustAnswer?: boolean;
  initialFocus?: RefObject<HTMLElement | null>;
  /** Where the focus goes after it closes when what had it is gone. */
  finalFocus?: () => HTMLElement | null;
}

/** A modal dialog: focus stays in it, Esc closes it, and focus returns to where it was. */
export function Dialog({
  open,
  onClose,
  title,
  description,
  children,
  wide,
  mustAnswer,
  initialFocus,
  finalFocus,
}: Props) {
  return (
    <Base.Root open={open} disablePointerDismissal={mustAnswer ?? false} onOpenChange={(next) => !next && onClose()}>
      <Base.Portal>
        <Base.Backdrop className="fade fixed inset-0 z-40 bg-shade" />
        <Base.Viewport className="fixed inset-0 z-50 flex items-start justify-center overflow-y-auto p-3 sm:p-6 sm:pt-[9vh]">
          <Base.Popup
            initialFocus={initialFocus}
            finalFocus={finalFocus ? () => finalFocus() ?? true : undefined}
            className={cx(
              "fade rise w-full rounded-xl border border-line bg-raised p-5 shadow-float outline-none sm:p-6",
              wide ? "max-w-2xl" : "max-w-lg",
            )}
          >
            <Base.Title className="text-lg font-semibold tracking-tight text-balance">{title}</Base.Title>
            {description && <Base.Description className="mt-1 text-muted text-pretty">{description}</Base.Description>}
            {children}
          </Base.Popup>
        </Base.Viewport>
      </Base.Portal>
    </Base.Root>
  );
}

export function DialogActions({ children }: { children: ReactNode }) {
  return <div className="mt-6 flex flex-wrap justify-end gap-2.5">{children}</div>;
}
