import { useNavigate } from "@tanstack/react-router";
import { RotateCcw } from "lucide-react";
import { type FormEvent, useEffect, useRef, useState } from "react";
import { useQuery } from "urql";
import { Button, IconButton } from "../../components/Button";
import { cx } from "../../components/cx";
import { Dialog, DialogActions } from "../../components/Dialog";
import { Field, Input, Problem, Select } from "../../components/Field";
import { kindIcons } from "../../components/KindIcon";
import { run } from "../../graphql/client";
import { type Kind, Launch, Retained, type RetainedData, type Template, Templates } from "../../graphql/documents";
import { live } from "../../graphql/live";
import { useSubmission } from "../../lib/form";
import { dated } from "../../lib/time";
import { toast } from "../../lib/toast";
import { nameProblem, numberProblem } from "../../lib/validate";
import { dialogs } from "../../model/dialogs";
import { useNodes } from "../../model/hooks";
import { kindNames, kindWhat, pathOf } from "../../model/kinds";
import { can, myKinds } from "../../model/session";
import { notifyWhenUp } from "./actions";
import { Numbers, Ports } from "./LaunchSettings";
import {
  fieldOf,
  formField,
  inputOf,
  type LaunchValues,
  type NumberGroup,
  numbers,
  portField,
  presetOf,
  settingOf,
  settingProblem,
  whyNoSize,
} from "./launch";
import { suggestName } from "./names";

const fields = ["name", "kind", "template", "nodeId", "reattach", "limits", "ports", ...numbers.map(fieldOf)];
const taken = (kept: readonly RetainedData[]) => (name: string) =>
  live.named(name) !== undefined || kept.some((r) => r.name === name);

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
  const [values, setValues] = useState<LaunchValues>(() => {
    const preferred = startKind ?? "DB";
    const kind = myKinds().includes(preferred) ? preferred : (myKinds()[0] ?? preferred);
    return { kind, name: suggestName(kind, taken([])), template: "", nodeId: "", reattach: "", numbers: {}, ports: {} };
  });
  const [suggested, setSuggested] = useState(values.name);
  const templates = templateData?.templates.filter((t) => t.kind === values.kind) ?? [];
  const data = kept.filter((r) => r.kind === values.kind && !r.deleting);
  const nodeId = values.nodeId || (kept.find((r) => r.id === values.reattach)?.node?.id ?? "");
  const preset = presetOf(templates, nodes, nodeId);
  const template = values.template ? templates.find((t) => t.name === values.template) : preset;
  const unsized = whyNoSize(template, nodes, nodeId);
  const groups: NumberGroup[] = unsized ? ["healthCheck"] : ["limits", "healthCheck"];
  const ports = template?.ports ?? [];
  const range = template?.settings.portNumbers;
  const form = useSubmission([...fields, ...ports.map(portField)], (field) => formField(field, values, ports));
  const nameInput = useRef<HTMLInputElement>(null);

  const change = (next: Partial<LaunchValues>, field: string) => {
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

  const keptUnderName = kept.find((r) => r.name === values.name && !values.reattach);

  const submit = (event: FormEvent) => {
    event.preventDefault();
    void form.submit(
      () => ({
        name: nameProblem(values.name),
        nodeId:
          nodes.length > 1 && !nodeId && ports.some((name) => values.ports[name])
            ? "Choose a node. A port that is free on one node may be in use on another."
            : "",
        ...Object.fromEntries(
          ports.map((name) => [
            portField(name),
            numberProblem(values.ports[name] ?? "", range?.first, range?.last, true),
          ]),
        ),
        ...Object.fromEntries(
          numbers
            .filter((n) => groups.includes(n.group))
            .map((n) => [fieldOf(n), settingProblem(values.numbers[fieldOf(n)], settingOf(n, template))]),
        ),
      }),
      async () => {
        const { launchService: service } = await run(Launch, { input: inputOf(values, groups, ports) });
        // It appears at once; the feed may even have been faster.
        if (!live.service(service.id)) live.apply({ services: [service] });
        dialogs.close();
        toast.info(`Launching ${service.name}`, "Its page shows each step.");
        void notifyWhenUp(service.id, service.name);
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
      description="Choose a kind and a name. The rest has defaults."
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
                    ? `Data of a removed service named ${values.name} was kept. Attach it, delete it, or choose another name.`
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
          <Field label="Template" hint={template?.description} error={problems.template}>
            {(wiring) => (
              <Select
                {...wiring}
                value={values.template}
                onChange={(e) => change({ template: e.target.value }, "template")}
                disabled={values.reattach !== ""}
              >
                <TemplateOptions templates={templates} preset={preset} />
              </Select>
            )}
          </Field>
          <Field
            label="Data"
            hint={values.reattach ? "The data keeps its credentials and stays on its node." : undefined}
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
                  <option key={n.id} value={n.id} disabled={!n.healthy || n.draining}>
                    {n.name}
                    {!n.healthy ? " (unreachable)" : n.draining ? " (draining)" : ""}
                  </option>
                ))}
              </Select>
            )}
          </Field>
        </div>
        {template && template.limitations.length > 0 && <Limitations of={template} />}
        <div className="space-y-3">
          <Numbers
            title="Size"
            group="limits"
            template={template}
            why={unsized}
            values={values}
            problems={problems}
            change={change}
          />
          <Numbers
            title="Health check"
            group="healthCheck"
            template={template}
            values={values}
            problems={problems}
            change={change}
          />
          <Ports names={ports} values={values} problems={problems} change={change} />
        </div>
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

function whatKind(values: LaunchValues, templates: readonly Template[]): string {
  return templates.length === 0 ? kindWhat[values.kind] : "Lowercase letters, digits and dashes.";
}

function Limitations({ of: { name, limitations } }: { of: Template }) {
  return (
    <section aria-label={`Limitations of ${name}`}>
      <h3 className="mb-1 font-medium">Limitations of {name}</h3>
      <ul className="list-disc space-y-0.5 pl-5 text-muted">
        {limitations.map((limitation) => (
          <li key={limitation}>{limitation}</li>
        ))}
      </ul>
    </section>
  );
}

function TemplateOptions({ templates, preset }: { templates: readonly Template[]; preset: Template | undefined }) {
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
        {myKinds().map((kind) => {
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

function WaysOut({ data, reattach }: { data: RetainedData; reattach: () => void }) {
  return (
    <span className="mt-2 flex flex-wrap gap-2">
      <Button small onClick={reattach}>
        Launch with its data
      </Button>
      {can("deleteData") && (
        <Button
          small
          look="danger-plain"
          onClick={() => dialogs.open({ type: "deleteRetained", id: data.id, name: data.name })}
        >
          Delete the data…
        </Button>
      )}
    </span>
  );
}
