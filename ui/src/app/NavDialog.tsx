import { Dialog as Base } from "@base-ui/react/dialog";
import { X } from "lucide-react";
import { IconButton } from "../components/Button";
import { dialogs } from "../model/dialogs";
import { Nav } from "./Nav";
import { Person } from "./Person";

/** The ways to the pages, on narrow screens. */
export function NavDialog() {
  return (
    <Base.Root open onOpenChange={(open) => !open && dialogs.close()}>
      <Base.Portal>
        <Base.Backdrop className="fade fixed inset-0 z-40 bg-shade" />
        <Base.Popup className="fade fixed inset-y-0 left-0 z-50 flex w-[min(17rem,85vw)] flex-col overflow-y-auto border-r border-line bg-surface pb-4 shadow-float outline-none">
          <div className="flex items-center justify-between py-2 pr-2 pl-4">
            <Base.Title className="font-semibold">Pages</Base.Title>
            <Base.Close render={<IconButton label="Close" />}>
              <X size={18} aria-hidden="true" />
            </Base.Close>
          </div>
          <Nav />
          <div className="mt-3 border-t border-line px-4 pt-3">
            <Person />
          </div>
        </Base.Popup>
      </Base.Portal>
    </Base.Root>
  );
}
