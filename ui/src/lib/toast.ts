import { Toast } from "@base-ui/react/toast";
import { wordsOf } from "./errors";

/** Made outside React, so that anything can say how it went. */
export const toasts = Toast.createToastManager();

export type ToastKind = "done" | "failed" | "info";

export const toast = {
  done(title: string, description?: string) {
    toasts.add({ type: "done" satisfies ToastKind, title, description, timeout: 6_000 });
  },
  info(title: string, description?: string) {
    toasts.add({ type: "info" satisfies ToastKind, title, description, timeout: 6_000 });
  },
  /** A failure stays until it is closed. */
  failed(title: string, error: unknown) {
    toasts.add({
      type: "failed" satisfies ToastKind,
      title,
      description: wordsOf(error),
      timeout: 0,
      priority: "high",
    });
  },
};
