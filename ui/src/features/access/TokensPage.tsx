import { KeyRound, Plus, Trash2 } from "lucide-react";
import { Button } from "../../components/Button";
import { Empty } from "../../components/Empty";
import { Page } from "../../components/Page";
import { Ago } from "../../components/Time";
import { dialogs } from "../../model/dialogs";
import { type Token, Tokens } from "./documents";
import { Ends, kindWords, RoleBadge, Row, Used, useFresh } from "./parts";

/** The credentials of programs. */
export function TokensPage() {
  const { data, instead } = useFresh(Tokens);
  const create = (
    <Button
      look="primary"
      icon={<Plus size={17} aria-hidden="true" />}
      onClick={() => dialogs.open({ type: "createToken" })}
    >
      Create token
    </Button>
  );
  return (
    <Page title="Tokens" count={data?.tokens.length} toolbar={<div className="ml-auto">{create}</div>}>
      {!data ? (
        instead
      ) : data.tokens.length === 0 ? (
        <Empty icon={<KeyRound size={22} />} title="No tokens">
          Programs use tokens to call the API. A token has a role, can be limited to kinds of services, and can be
          revoked at any time.
        </Empty>
      ) : (
        <ul className="mx-auto max-w-5xl space-y-3 p-4">
          {data.tokens.map((t) => (
            <Item key={t.id} t={t} />
          ))}
        </ul>
      )}
    </Page>
  );
}

function Item({ t }: { t: Token }) {
  return (
    <Row
      data-token={t.name}
      icon={<KeyRound size={18} />}
      name={t.name}
      badges={<RoleBadge role={t.role} />}
      action={
        <Button
          small
          look="danger-plain"
          icon={<Trash2 size={15} aria-hidden="true" />}
          aria-label={`Revoke ${t.name}`}
          onClick={() => dialogs.open({ type: "revokeToken", id: t.id, name: t.name })}
        >
          Revoke…
        </Button>
      }
    >
      <p className="text-[0.8125rem] text-muted">
        {kindWords(t.kinds)} · <Ends at={t.expiresAt} /> · <Used at={t.lastUsedAt} />
      </p>
      <p className="text-[0.8125rem] text-muted [overflow-wrap:anywhere]">
        Created <Ago at={t.createdAt} />
        {t.createdBy && ` by ${t.createdBy}`}
      </p>
    </Row>
  );
}
