import { Link2, LogOut, MonitorSmartphone } from "lucide-react";
import { Button } from "../../components/Button";
import { Page } from "../../components/Page";
import { Ago } from "../../components/Time";
import { dialogs } from "../../model/dialogs";
import { can } from "../../model/session";
import { browserOf } from "./access";
import { type Session, Sessions } from "./documents";
import { Ends, kindWords, RoleBadge, Row, Used, useFresh } from "./parts";

/** The browsers that are signed in: everybody's for an ADMIN, one's own for others. */
export function SessionsPage() {
  const { data, instead } = useFresh(Sessions);
  return (
    <Page
      title="Sessions"
      count={data?.sessions.length}
      toolbar={
        can("manageAccess") && (
          <div className="ml-auto">
            <Button icon={<Link2 size={17} aria-hidden="true" />} onClick={() => dialogs.open({ type: "loginLink" })}>
              Create login link
            </Button>
          </div>
        )
      }
    >
      {!data ? (
        instead
      ) : (
        <ul className="mx-auto max-w-5xl space-y-3 p-4">
          {data.sessions.map((s) => (
            <Item key={s.id} s={s} />
          ))}
        </ul>
      )}
    </Page>
  );
}

function Item({ s }: { s: Session }) {
  return (
    <Row
      data-session={s.name}
      icon={<MonitorSmartphone size={18} />}
      name={s.name}
      badges={
        <>
          <RoleBadge role={s.role} />
          {s.current && <span className="text-[0.8125rem] font-medium text-good-text">This browser</span>}
        </>
      }
      action={
        <Button
          small
          look="danger-plain"
          icon={<LogOut size={15} aria-hidden="true" />}
          aria-label={s.current ? "End this session" : `End the session of ${s.name}`}
          onClick={() => dialogs.open({ type: "revokeSession", id: s.id, name: s.name, current: s.current })}
        >
          End…
        </Button>
      }
    >
      <p className="text-[0.8125rem] text-muted [overflow-wrap:anywhere]">
        <span title={s.agent}>{browserOf(s.agent)}</span>
        {s.address && `, from ${s.address}`} · {kindWords(s.kinds)}
      </p>
      <p className="text-[0.8125rem] text-muted">
        Signed in <Ago at={s.createdAt} /> · <Used at={s.lastUsedAt} /> · <Ends at={s.expiresAt} />
      </p>
    </Row>
  );
}
