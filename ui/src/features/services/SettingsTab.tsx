import { Trash2 } from "lucide-react";
import { Button } from "../../components/Button";
import { CopyButton } from "../../components/Copy";
import { Labels } from "../../components/Labels";
import type { Service } from "../../graphql/documents";
import { live } from "../../graphql/live";
import { absolute } from "../../lib/time";
import { dialogs } from "../../model/dialogs";
import { kindNames } from "../../model/kinds";
import { HealthCheckSettings } from "./HealthCheckSettings";
import { Row } from "./Row";
import { limitWords } from "./words";

const desiredStates: Record<Service["desiredState"], string> = {
  RUNNING: "Running",
  STOPPED: "Stopped",
  REMOVED: "Removed",
};

/** How it was launched, and its labels. */
export function SettingsTab({ s }: { s: Service }) {
  return (
    <div className="space-y-6 p-4">
      <dl className="grid grid-cols-[8.5rem_minmax(0,1fr)] gap-y-2.5">
        <Row name="Kind">{kindNames[s.kind]}</Row>
        <Row name="Template">{s.template.name}</Row>
        <Row name="Engine version">{s.template.version}</Row>
        <Row name="Node">{s.node?.name ?? "not placed yet"}</Row>
        <Row name="Labels">
          <div className="flex flex-wrap items-center gap-2">
            {s.labels.length > 0 ? <Labels labels={s.labels} /> : <span className="text-muted">None</span>}
            {s.allowedActions.includes("SET_LABELS") && (
              <Button small onClick={() => dialogs.open({ type: "labels", id: s.id })}>
                Edit labels
              </Button>
            )}
          </div>
        </Row>
        {s.nodeLabels.length > 0 && (
          <Row name="Required node labels">
            <Labels labels={s.nodeLabels} />
          </Row>
        )}
        <Row name="Limits">{limitsOf(s)}</Row>
        <HealthCheckSettings id={s.id} />
        {s.image && (
          <Row name="Image">
            <Copied text={s.image} what="the image's digest" />
          </Row>
        )}
        <Row name="Desired state">{desiredStates[s.desiredState]}</Row>
        <Row name="Launched">{absolute(Date.parse(s.createdAt))}</Row>
        <Row name="Id">
          <Copied text={s.id} what="the id" />
        </Row>
      </dl>
      <p className="text-[0.8125rem] text-muted">
        Everything but the labels is set at launch. Upgrading uws does not change a running service.
      </p>
      {s.allowedActions.includes("REMOVE") && (
        <section
          aria-labelledby="remove-it"
          className="flex flex-wrap items-center justify-between gap-3 rounded-lg border border-line p-3.5"
        >
          <div>
            <h3 id="remove-it" className="font-medium">
              Remove this service
            </h3>
            <p className="text-muted">Its data is kept unless you choose to delete it.</p>
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
  if (node && live.node(node.id)?.driver === "PROCESS") return "none: this node does not support limits";
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
