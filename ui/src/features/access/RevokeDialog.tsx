import { ConfirmDialog } from "../../components/ConfirmDialog";
import { client, run } from "../../graphql/client";
import { toast } from "../../lib/toast";
import { dialogs, type Open } from "../../model/dialogs";
import { signOut } from "../../model/session";
import { RevokeSession, RevokeToken, Sessions, Tokens } from "./documents";

/** Ends a token or a session, once it is sure that this is meant. */
export function RevokeDialog({ of }: { of: Extract<Open, { type: "revokeToken" | "revokeSession" }> }) {
  const token = of.type === "revokeToken";
  return (
    <ConfirmDialog
      onClose={dialogs.close}
      title={token ? <>Revoke the token {of.name}?</> : <>End the session of {of.name}?</>}
      description={
        token
          ? "The token stops working at once. Browsers that signed in with it are signed out. This cannot be undone."
          : of.type === "revokeSession" && of.current
            ? "This is your own session. You will be signed out."
            : "Signs that browser out at once. Its user needs a new link to sign in again."
      }
      verb={token ? "Revoke token" : "End session"}
      look="danger"
      finalFocus={() => document.querySelector<HTMLElement>("h1")}
      act={async () => {
        if (of.type === "revokeSession" && of.current) return signOut();
        if (token) await run(RevokeToken, { id: of.id });
        else await run(RevokeSession, { id: of.id });
        dialogs.close();
        toast.done(token ? `The token ${of.name} is revoked` : `The session of ${of.name} is ended`);
        void client.query(token ? Tokens : Sessions, {}, { requestPolicy: "network-only" }).toPromise();
      }}
    />
  );
}
