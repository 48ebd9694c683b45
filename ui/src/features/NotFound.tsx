import { Link } from "@tanstack/react-router";
import { Compass } from "lucide-react";
import { buttonClass } from "../components/Button";
import { Empty } from "../components/Empty";
import { Page } from "../components/Page";

export function NotFound() {
  return (
    <Page title="Nothing here">
      <Empty
        icon={<Compass size={22} />}
        title="There is no page at this address"
        actions={
          <Link to="/" className={buttonClass("primary")}>
            To the overview
          </Link>
        }
      >
        It may have been mistyped.
      </Empty>
    </Page>
  );
}
