import { Menu as Base } from "@base-ui/react/menu";
import { EllipsisVertical } from "lucide-react";
import { IconButton } from "./Button";
import { cx } from "./cx";
import type { MoreMenuProps } from "./Menu";

/** The menu itself, open from the start. Loaded when the first one is opened. */
export default function OpenMenu({ label, items, className }: MoreMenuProps) {
  return (
    <Base.Root defaultOpen>
      <Base.Trigger render={<IconButton label={label} className={className} />}>
        <EllipsisVertical size={17} aria-hidden="true" />
      </Base.Trigger>
      <Base.Portal>
        <Base.Positioner sideOffset={4} align="end" className="z-50">
          <Base.Popup className="fade min-w-44 rounded-lg border border-line bg-raised p-1 shadow-float outline-none">
            {items.map((item) => (
              <Base.Item
                key={item.label}
                disabled={item.disabled}
                onClick={item.onSelect}
                className={cx(
                  "flex min-h-9 cursor-pointer items-center gap-2.5 rounded-md px-2.5 outline-none data-disabled:cursor-default data-disabled:opacity-45 data-highlighted:bg-sunken",
                  item.danger ? "text-bad-text" : "text-text",
                )}
              >
                {item.icon}
                {item.label}
              </Base.Item>
            ))}
          </Base.Popup>
        </Base.Positioner>
      </Base.Portal>
    </Base.Root>
  );
}
