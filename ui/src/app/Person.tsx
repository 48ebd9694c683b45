import { useRouter } from "@tanstack/react-router";
import { CircleUser, LogOut, MonitorSmartphone } from "lucide-react";
import { MoreMenu } from "../components/Menu";
import { toast } from "../lib/toast";
import { me, signOut } from "../model/session";

/** Who is signed in, and the way out. */
export function Person() {
  const router = useRouter();
  const { name, role } = me();
  return (
    <div className="flex items-center gap-2" role="group" aria-label="Signed in">
      <CircleUser size={20} aria-hidden="true" className="shrink-0 text-muted" />
      <div className="min-w-0 flex-1 leading-tight">
        <p className="truncate font-medium" title={name}>
          {name}
        </p>
        <p className="text-xs text-muted">{role}</p>
      </div>
      <MoreMenu
        label="Your account"
        items={[
          {
            label: "Sessions",
            icon: <MonitorSmartphone size={16} aria-hidden="true" />,
            onSelect: () => void router.navigate({ to: "/access/sessions" }),
          },
          {
            label: "Sign out",
            icon: <LogOut size={16} aria-hidden="true" />,
            onSelect: () => void signOut().catch((error) => toast.failed("You were not signed out", error)),
          },
        ]}
      />
    </div>
  );
}
