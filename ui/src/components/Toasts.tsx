import { Toast } from "@base-ui/react/toast";
import { CircleAlert, CircleCheck, Info, X } from "lucide-react";
import { toasts } from "../lib/toast";
import { cx } from "./cx";

/** What lib/toast says, in the corner. */
export default function Toasts() {
  return (
    <Toast.Provider toastManager={toasts} limit={4}>
      <Toast.Portal>
        <Toast.Viewport className="fixed right-3 bottom-3 z-60 flex w-[min(23rem,calc(100vw-1.5rem))] flex-col gap-2 sm:right-5 sm:bottom-5">
          <List />
        </Toast.Viewport>
      </Toast.Portal>
    </Toast.Provider>
  );
}

function List() {
  const { toasts: all } = Toast.useToastManager();
  return all.map((t) => (
    <Toast.Root
      key={t.id}
      toast={t}
      role="group" // the library says dialog, and a toast takes neither Esc nor the focus from the page
      swipeDirection={["right", "down"]}
      data-toast={t.type}
      className={cx(
        "fade rise rounded-lg border bg-raised shadow-float",
        t.type === "failed" ? "border-bad" : "border-line",
      )}
    >
      <Toast.Content className="flex items-start gap-3 p-3.5">
        {t.type === "failed" ? (
          <CircleAlert size={18} aria-hidden="true" className="mt-0.5 shrink-0 text-bad" />
        ) : t.type === "done" ? (
          <CircleCheck size={18} aria-hidden="true" className="mt-0.5 shrink-0 text-good" />
        ) : (
          <Info size={18} aria-hidden="true" className="mt-0.5 shrink-0 text-busy" />
        )}
        <div className="min-w-0 flex-1">
          <Toast.Title className="font-semibold [overflow-wrap:anywhere]" />
          <Toast.Description className="text-muted [overflow-wrap:anywhere]" />
        </div>
        <Toast.Close
          aria-label="Close"
          className="inline-flex size-7 shrink-0 items-center justify-center rounded-md text-muted hover:bg-sunken hover:text-text"
        >
          <X size={16} aria-hidden="true" />
        </Toast.Close>
      </Toast.Content>
    </Toast.Root>
  ));
}
