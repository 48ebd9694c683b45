import { RevokeSession, RevokeToken, Sessions, Tokens } from "../../graphql/access";
import { client, run } from "../../graphql/client";
import { dialogs, type Open } from "../../lib/dialogs";
import { signOut } from "../../lib/session";
import { toast } from "../../lib/toast";
import { Confirm } from "../Confirm";

/** Ends a token or a session, once it is sure that this is meant. */
export function RevokeDialog({ of }: { of: Extract<Open, { type: "revokeToken" | "revokeSession" }> }) {
  const token = of.type === "revokeToken";
  return (
    <Confirm
      title={token ? <>Revoke the token {of.name}?</> : <>End the session of {of.name}?</>}
      description={
        token
          ? "It stops working at once, and browsers that signed in with it are signed out. This cannot be undone."
          : of.type === "revokeSession" && of.current
            ? "It is this browser's own: you are signed out."
            : "That browser is signed out at once. Whoever used it needs another link to come back."
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
