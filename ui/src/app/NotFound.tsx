import { Link } from "@tanstack/react-router";
import { Compass } from "lucide-react";
import { buttonClass } from "../components/Button";
import { Empty } from "../components/Empty";
import { Page } from "../components/Page";

export function NotFound() {
  return (
    <Page title="Page not found">
      <Empty
        icon={<Compass size={22} />}
        title="Page not found"
        actions={
          <Link to="/" className={buttonClass("primary")}>
            Go to the overview
          </Link>
        }
      >
        Check the address.
      </Empty>
    </Page>
  );
}
