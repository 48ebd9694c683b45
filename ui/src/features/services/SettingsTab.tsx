import { Trash2 } from "lucide-react";
import type { ReactNode } from "react";
import { Button } from "../../components/Button";
import { CopyButton } from "../../components/Copy";
import { Labels } from "../../components/Labels";
import type { Service } from "../../graphql/documents";
import { live } from "../../graphql/live";
import { dialogs } from "../../lib/dialogs";
import { kindNames } from "../../lib/kinds";
import { can } from "../../lib/session";
import { absolute } from "../../lib/time";
import { limitWords } from "../../lib/words";

const wanted: Record<Service["desiredState"], string> = {
  RUNNING: "It shall run",
  STOPPED: "It shall be stopped",
  REMOVED: "It shall be gone",
};

/** How it was launched. */
export function SettingsTab({ s }: { s: Service }) {
  return (
    <div className="space-y-6 p-4">
      <dl className="grid grid-cols-[8.5rem_minmax(0,1fr)] gap-y-2.5">
        <Row name="Kind">{kindNames[s.kind]}</Row>
        <Row name="Template">{s.template.name}</Row>
        <Row name="Engine's version">{s.template.version}</Row>
        <Row name="Node">{s.node?.name ?? "not placed yet"}</Row>
        {s.nodeLabels.length > 0 && (
          <Row name="Its node must have">
            <Labels labels={s.nodeLabels} />
          </Row>
        )}
        <Row name="Limits">{limitsOf(s)}</Row>
        {s.image && (
          <Row name="Image">
            <Copied text={s.image} what="the image's digest" />
          </Row>
        )}
        <Row name="What was asked for">{wanted[s.desiredState]}</Row>
        <Row name="Launched">{absolute(Date.parse(s.createdAt))}</Row>
        <Row name="Id">
          <Copied text={s.id} what="the id" />
        </Row>
      </dl>
      <p className="text-[0.8125rem] text-muted">
        These were set at launch and stay as they are: upgrading uws changes no running service.
      </p>
      {can("remove") && (
        <section
          aria-labelledby="remove-it"
          className="flex flex-wrap items-center justify-between gap-3 rounded-lg border border-line p-3.5"
        >
          <div>
            <h3 id="remove-it" className="font-medium">
              Remove this service
            </h3>
            <p className="text-muted">Its data is kept unless you say otherwise.</p>
          </div>
          <Button
            look="danger-plain"
            small
            icon={<Trash2 size={15} aria-hidden="true" />}
            onClick={() => dialogs.open({ type: "remove", id: s.id })}
          >
            Remove…
          </Button>
        </section>
      )}
    </div>
  );
}

function limitsOf({ limits, node }: Service): string {
  if (limits) return limitWords(limits) || "none";
  if (node && live.node(node.id)?.driver === "PROCESS") return "none, as for all services on this node";
  return "not known yet";
}

function Copied({ text, what }: { text: string; what: string }) {
  return (
    <span className="flex items-center gap-1">
      <code className="min-w-0 font-mono text-[0.8125rem] [overflow-wrap:anywhere]">{text}</code>
      <CopyButton text={text} what={what} className="-my-1" />
    </span>
  );
}

function Row({ name, children }: { name: string; children: ReactNode }) {
  return (
    <>
      <dt className="text-muted">{name}</dt>
      <dd className="min-w-0">{children}</dd>
    </>
  );
}
