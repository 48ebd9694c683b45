import { type FormEvent, useRef } from "react";
import { Button } from "../../components/Button";
import { Dialog, DialogActions } from "../../components/Dialog";
import { Problem } from "../../components/Field";
import { RevokeSession, RevokeToken, Sessions, Tokens } from "../../graphql/access";
import { client, run } from "../../graphql/client";
import { dialogs, type Open } from "../../lib/dialogs";
import { useSubmission } from "../../lib/form";
import { signOut } from "../../lib/session";
import { toast } from "../../lib/toast";

/** Ends a token or a session, once it is sure that this is meant. */
export function RevokeDialog({ of }: { of: Extract<Open, { type: "revokeToken" | "revokeSession" }> }) {
  const form = useSubmission([]);
  const cancel = useRef<HTMLButtonElement>(null);
  const token = of.type === "revokeToken";
  const submit = (event: FormEvent) => {
    event.preventDefault();
    void form.submit(
      () => ({}),
      async () => {
        if (of.type === "revokeSession" && of.current) return signOut();
        if (token) await run(RevokeToken, { id: of.id });
        else await run(RevokeSession, { id: of.id });
        dialogs.close();
        toast.done(token ? `The token ${of.name} is revoked` : `The session of ${of.name} is ended`);
        void client.query(token ? Tokens : Sessions, {}, { requestPolicy: "network-only" }).toPromise();
      },
    );
  };
  return (
    <Dialog
      open
      onClose={dialogs.close}
      title={token ? <>Revoke the token {of.name}?</> : <>End the session of {of.name}?</>}
      initialFocus={cancel}
      finalFocus={() => document.querySelector<HTMLElement>("h1")}
      description={
        token
          ? "It stops working at once, and browsers that signed in with it are signed out. This cannot be undone."
          : of.type === "revokeSession" && of.current
            ? "It is this browser's own: you are signed out."
            : "That browser is signed out at once. Whoever used it needs another link to come back."
      }
    >
      <form onSubmit={submit} noValidate>
        {form.problems[""] && <Problem className="mt-3">{form.problems[""]}</Problem>}
        <DialogActions>
          <Button ref={cancel} onClick={dialogs.close}>
            Cancel
          </Button>
          <Button look="danger" type="submit" busy={form.busy}>
            {token ? "Revoke token" : "End session"}
          </Button>
        </DialogActions>
      </form>
    </Dialog>
  );
}
