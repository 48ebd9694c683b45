import { Lock } from "lucide-react";
import { useEffect } from "react";
import { useQuery } from "urql";
import { InstallationState } from "../graphql/documents";
import { useSocketState } from "../model/hooks";

/** Says why nothing can be changed, and what to do, while the server is read-only. */
export function ReadOnlyBanner() {
  const socket = useSocketState();
  const [{ data }, ask] = useQuery({ query: InstallationState, pause: true });
  useEffect(() => {
    if (socket === "live") ask({ requestPolicy: "network-only" }); // a restart may have ended it
  }, [socket, ask]);
  const reason = data?.installation.readOnlyReason;
  if (!reason) return null;
  return (
    <div role="alert" className="flex items-center gap-4 border-b border-warn bg-warn-soft px-4 py-2 text-warn-text">
      <Lock size={16} aria-hidden="true" className="hidden shrink-0 sm:block" />
      <span className="flex-1">
        <strong>Read-only.</strong> UWS does not check, start or stop services: {reason}.
      </span>
    </div>
  );
}
