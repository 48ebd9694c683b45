import { EllipsisVertical } from "lucide-react";
import { lazy, type ReactNode, Suspense, useState } from "react";
import { IconButton } from "./Button";

export interface MenuItem {
  label: string;
  icon: ReactNode;
  onSelect: () => void;
  danger?: boolean;
  disabled?: boolean;
}

export interface MoreMenuProps {
  label: string;
  items: MenuItem[];
  className?: string;
}

const OpenMenu = lazy(() => import("./OpenMenu"));

/** What else can be done with something, behind three dots. */
export function MoreMenu(props: MoreMenuProps) {
  const [opened, setOpened] = useState(false);
  const dots = (
    <IconButton
      label={props.label}
      className={props.className}
      aria-haspopup="menu"
      aria-expanded={false}
      onClick={() => setOpened(true)}
    >
      <EllipsisVertical size={17} aria-hidden="true" />
    </IconButton>
  );
  if (!opened) return dots;
  return (
    <Suspense fallback={dots}>
      <OpenMenu {...props} />
    </Suspense>
  );
}
