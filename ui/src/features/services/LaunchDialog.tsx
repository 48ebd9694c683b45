import { useNavigate } from "@tanstack/react-router";
import { ChevronRight, RotateCcw } from "lucide-react";
import { type FormEvent, type ReactNode, useEffect, useRef, useState } from "react";
import { useQuery } from "urql";
import { Button, IconButton } from "../../components/Button";
import { cx } from "../../components/cx";
import { Dialog, DialogActions } from "../../components/Dialog";
import { Field, Input, Problem, Select } from "../../components/Field";
import { kindIcons } from "../../components/Shell";
import { run } from "../../graphql/client";
import {
  type Kind,
  Launch,
  type LaunchInput,
  Retained,
  type RetainedData,
  type Template,
  Templates,
} from "../../graphql/documents";
import { live } from "../../graphql/live";
import { tellWhenUp } from "../../lib/actions";
import { dialogs } from "../../lib/dialogs";
import { useSubmission } from "../../lib/form";
import { useNodes } from "../../lib/hooks";
import { kindNames, kinds, kindWhat, pathOf } from "../../lib/kinds";
import { suggestName } from "../../lib/names";
import { dated } from "../../lib/time";
import { toast } from "../../lib/toast";
import { nameProblem, numberProblem } from "../../lib/validate";

const checks = [
  { name: "intervalSeconds", label: "Check every", unit: "s", min: 1, max: 3600 },
  { name: "timeoutSeconds", label: "Give up after", unit: "s", min: 0.1, max: 60 },
  { name: "failureThreshold", label: "Failures until restart", unit: "", min: 1, max: 100, whole: true },
  { name: "graceSeconds", label: "Time to start", unit: "s", min: 1, max: 3600 },
] as const;
type CheckName = (typeof checks)[number]["name"];

interface Values {
  kind: Kind;
  name: string;
  template: string;
  nodeId: string;
  reattach: string;
  checks: Record<CheckName, string>;
}

const noChecks: Values["checks"] = { intervalSeconds: "", timeoutSeconds: "", failureThreshold: "", graceSeconds: "" };
const fields = ["name", "kind", "template", "nodeId", "reattach", ...checks.map((c) => `healthCheck.${c.name}`)];
const taken = (kept: readonly RetainedData[]) => (name: string) =>
  live.named(name) !== undefined || kept.some((r) => r.name === name);

export function inputOf(v: Values): LaunchInput {
  const healthCheck: Record<string, number> = {};
  for (const { name } of checks) if (v.checks[name].trim() !== "") healthCheck[name] = Number(v.checks[name]);
  return {
    kind: v.kind,
    name: v.name,
    ...(v.template && { template: v.template }),
    ...(v.nodeId && { nodeId: v.nodeId }),
    ...(v.reattach && { reattach: v.reattach }),
    ...(Object.keys(healthCheck).length > 0 && { healthCheck }),
  };
}

/** Launches a service: a kind and a name are enough, all else can be chosen. */
export function LaunchDialog({
  kind: startKind,
  reattach: startReattach,
}: {
  kind?: Kind | undefined;
  reattach?: string | undefined;
}) {
  const navigate = useNavigate();
  const nodes = useNodes();
  const [{ data: templateData }] = useQuery({ query: Templates });
  const [{ data: retainedData }] = useQuery({ query: Retained, requestPolicy: "cache-and-network" });
  const kept = retainedData?.retainedData ?? [];
  const [values, setValues] = useState<Values>(() => {
    const kind = startKind ?? "DB";
    return { kind, name: suggestName(kind, taken([])), template: "", nodeId: "", reattach: "", checks: noChecks };
  });
  const [suggested, setSuggested] = useState(values.name);
  const form = useSubmission(fields);
  const nameInput = useRef<HTMLInputElement>(null);

  const change = (next: Partial<Values>, field: string) => {
    setValues((before) => ({ ...before, ...next }));
    form.changed(field);
  };
  const suggest = (kind: Kind) => {
    const name = suggestName(kind, (n) => n === values.name || taken(kept)(n));
    setSuggested(name);
    return name;
  };
  const chooseKind = (kind: Kind) =>
    change(
      {
        kind,
        template: "",
        reattach: "",
        ...(values.name === suggested || values.reattach ? { name: suggest(kind) } : {}),
      },
      "name",
    );
  const chooseData = (id: string) => {
    const data = kept.find((r) => r.id === id);
    if (!data)
      return change(
        { reattach: "", template: "", name: values.reattach ? suggest(values.kind) : values.name },
        "reattach",
      );
    change({ reattach: id, kind: data.kind, template: data.template.name, name: data.name, nodeId: "" }, "name");
  };

  // Asked to reattach certain data: as soon as it is known what that is.
  const wished = useRef(startReattach);
  useEffect(() => {
    if (!wished.current || !kept.some((r) => r.id === wished.current)) return;
    chooseData(wished.current);
    wished.current = undefined;
  });

  const templates = templateData?.templates.filter((t) => t.kind === values.kind) ?? [];
  const data = kept.filter((r) => r.kind === values.kind && !r.deleting);
  const keptUnderName = kept.find((r) => r.name === values.name && !values.reattach);

  const submit = (event: FormEvent) => {
    event.preventDefault();
    void form.submit(
      () => ({
        name: nameProblem(values.name),
        ...Object.fromEntries(
          checks.map((c) => [
            `healthCheck.${c.name}`,
            numberProblem(values.checks[c.name], c.min, c.max, "whole" in c),
          ]),
        ),
      }),
      async () => {
        const { launchService: service } = await run(Launch, { input: inputOf(values) });
        // It appears at once; the feed may even have been faster.
        if (!live.service(service.id)) live.apply({ services: [service] });
        dialogs.close();
        toast.info(`Launching ${service.name}`, "Each step is shown as it happens.");
        void tellWhenUp(service.id, service.name);
        await navigate({ to: "/$list/$id", params: { list: pathOf[service.kind], id: service.id } });
      },
    );
  };

  const { problems } = form;
  return (
    <Dialog
      open
      onClose={dialogs.close}
      title="Launch new service"
      description="A kind and a name are enough. All else is chosen for you."
      initialFocus={nameInput}
      wide
    >
      <form onSubmit={submit} noValidate className="mt-5 space-y-5">
        <KindChoice value={values.kind} onChange={chooseKind} />
        <div className="grid gap-x-4 gap-y-5 sm:grid-cols-2">
          <Field
            label="Name"
            hint={whatKind(values, templates)}
            error={
              problems.name && (
                <>
                  {keptUnderName && form.code === "CONFLICT"
                    ? `Data of a removed service ${values.name} was kept under this name.`
                    : problems.name}
                  {keptUnderName && form.code === "CONFLICT" && (
                    <WaysOut data={keptUnderName} reattach={() => chooseData(keptUnderName.id)} />
                  )}
                </>
              )
            }
          >
            {(wiring) => (
              <div className="relative">
                <Input
                  {...wiring}
                  ref={nameInput}
                  required
                  maxLength={80}
                  value={values.name}
                  onChange={(e) => change({ name: e.target.value }, "name")}
                  className="pr-10 font-mono"
                />
                <IconButton
                  label="Suggest another name"
                  className="absolute top-1/2 right-0.5 -translate-y-1/2"
                  onClick={() => change({ name: suggest(values.kind) }, "name")}
                >
                  <RotateCcw size={15} aria-hidden="true" />
                </IconButton>
              </div>
            )}
          </Field>
          <Field
            label="Template"
            hint={templates.find((t) => (values.template ? t.name === values.template : t.default))?.description}
            error={problems.template}
          >
            {(wiring) => (
              <Select
                {...wiring}
                value={values.template}
                onChange={(e) => change({ template: e.target.value }, "template")}
                disabled={values.reattach !== ""}
              >
                <TemplateOptions templates={templates} />
              </Select>
            )}
          </Field>
          <Field
            label="Data"
            hint={values.reattach ? "Its credentials come with it, and it stays on its node." : undefined}
            error={problems.reattach}
          >
            {(wiring) => (
              <Select {...wiring} value={values.reattach} onChange={(e) => chooseData(e.target.value)}>
                <option value="">Start empty</option>
                {data.map((r) => (
                  <option key={r.id} value={r.id}>
                    Data of {r.name}, kept {dated(Date.parse(r.retainedAt))}
                  </option>
                ))}
              </Select>
            )}
          </Field>
          <Field label="Node" error={problems.nodeId}>
            {(wiring) => (
              <Select
                {...wiring}
                value={values.nodeId}
                onChange={(e) => change({ nodeId: e.target.value }, "nodeId")}
                disabled={values.reattach !== ""}
              >
                <option value="">{values.reattach ? "Where the data is" : "Automatic"}</option>
                {nodes.map((n) => (
                  <option key={n.id} value={n.id} disabled={!n.healthy}>
                    {n.name}
                    {n.healthy ? "" : " (unreachable)"}
                  </option>
                ))}
              </Select>
            )}
          </Field>
        </div>
        <Advanced open={checks.some((c) => problems[`healthCheck.${c.name}`] || values.checks[c.name] !== "")}>
          {checks.map((c) => (
            <Field
              key={c.name}
              label={c.unit ? `${c.label} (${c.unit})` : c.label}
              hint={`${c.min} to ${c.max}`}
              error={problems[`healthCheck.${c.name}`]}
            >
              {(wiring) => (
                <Input
                  {...wiring}
                  inputMode="decimal"
                  placeholder="as in the template"
                  value={values.checks[c.name]}
                  onChange={(e) =>
                    change({ checks: { ...values.checks, [c.name]: e.target.value } }, `healthCheck.${c.name}`)
                  }
                />
              )}
            </Field>
          ))}
        </Advanced>
        {(problems[""] || problems.kind) && <Problem>{problems[""] || problems.kind}</Problem>}
        <DialogActions>
          <Button onClick={dialogs.close}>Cancel</Button>
          <Button look="primary" type="submit" busy={form.busy}>
            {form.busy ? "Launching" : "Launch service"}
          </Button>
        </DialogActions>
      </form>
    </Dialog>
  );
}

function whatKind(values: Values, templates: readonly Template[]): string {
  return templates.length === 0 ? kindWhat[values.kind] : "Small letters, digits and dashes.";
}

function TemplateOptions({ templates }: { templates: readonly Template[] }) {
  const preset = templates.find((t) => t.default);
  return (
    <>
      <option value="">{preset ? `${preset.name} ${preset.version} (default)` : "Default"}</option>
      {templates
        .filter((t) => t !== preset)
        .map((t) => (
          <option key={t.name} value={t.name}>
            {t.name} {t.version}
          </option>
        ))}
      {/* Reattached data names its template, be it the default. */}
      {preset && (
        <option value={preset.name} hidden>
          {preset.name} {preset.version}
        </option>
      )}
    </>
  );
}

function KindChoice({ value, onChange }: { value: Kind; onChange: (kind: Kind) => void }) {
  return (
    <fieldset>
      <legend className="mb-1.5 font-medium">Kind</legend>
      <div className="grid grid-cols-2 gap-2 min-[26rem]:grid-cols-3 sm:grid-cols-5">
        {kinds.map((kind) => {
          const Icon = kindIcons[kind];
          const chosen = kind === value;
          return (
            <label
              key={kind}
              className={cx(
                "relative flex cursor-pointer flex-col items-center gap-1.5 rounded-lg border px-2 py-3 text-[0.8125rem] has-focus-visible:outline-2 has-focus-visible:outline-offset-2 has-focus-visible:outline-accent",
                chosen ? "border-accent bg-accent-soft font-semibold" : "border-line hover:border-line-strong",
              )}
            >
              <input
                type="radio"
                name="kind"
                value={kind}
                checked={chosen}
                onChange={() => onChange(kind)}
                className="absolute inset-0 cursor-pointer opacity-0"
              />
              <Icon size={19} aria-hidden="true" />
              {kindNames[kind]}
            </label>
          );
        })}
      </div>
    </fieldset>
  );
}

function Advanced({ open, children }: { open: boolean; children: ReactNode }) {
  return (
    <details className="group" open={open || undefined}>
      <summary className="inline-flex min-h-7 list-none items-center gap-1.5 rounded text-muted hover:text-text">
        <ChevronRight size={15} aria-hidden="true" className="transition-transform group-open:rotate-90" />
        Health check
      </summary>
      <div className="mt-3 grid gap-x-4 gap-y-4 min-[26rem]:grid-cols-2">{children}</div>
    </details>
  );
}

function WaysOut({ data, reattach }: { data: RetainedData; reattach: () => void }) {
  return (
    <span className="mt-2 flex flex-wrap gap-2">
      <Button small onClick={reattach}>
        Launch with its data
      </Button>
      <Button
        small
        look="danger-plain"
        onClick={() => dialogs.open({ type: "deleteRetained", id: data.id, name: data.name })}
      >
        Delete the data…
      </Button>
    </span>
  );
}
