import { EllipsisVertical } from "lucide-react";
import { type ReactNode, useState } from "react";
import { IconButton } from "./Button";
import { lazyPart } from "./Lazy";

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

const OpenMenu = lazyPart<MoreMenuProps>(
  () => import("./OpenMenu").then((m) => m.default),
  (props) => <Dots {...props} />,
);

function Dots({ label, className, onClick }: MoreMenuProps & { onClick?: () => void }) {
  return (
    <IconButton label={label} className={className} aria-haspopup="menu" aria-expanded={false} onClick={onClick}>
      <EllipsisVertical size={17} aria-hidden="true" />
    </IconButton>
  );
}

/** What else can be done with something, behind three dots. */
export function MoreMenu(props: MoreMenuProps) {
  const [opened, setOpened] = useState(false);
  return opened ? <OpenMenu {...props} /> : <Dots {...props} onClick={() => setOpened(true)} />;
}
