import { type FormEvent, useRef, useState } from "react";
import { Button } from "../../components/Button";
import { Dialog, DialogActions } from "../../components/Dialog";
import { Field, Input, Problem, Select, TextArea } from "../../components/Field";
import { run } from "../../graphql/client";
import { type NodeInput, RegisterNode } from "../../graphql/documents";
import { live } from "../../graphql/live";
import { useSubmission } from "../../lib/form";
import { toast } from "../../lib/toast";
import { nameProblem } from "../../lib/validate";
import { dialogs } from "../../model/dialogs";
import { type KeyTexts, keysFor, keysOf, schemeOf } from "./nodekeys";

const fields = ["name", "driver", "endpoint", "serviceAddress", "tls", "ssh"].concat(
  Object.values(keysFor).flatMap((all) => all.map((k) => k.name)),
);

/** Registers a machine or an engine. It is reached before it is taken. */
export function RegisterNodeDialog() {
  const [values, setValues] = useState<NodeInput>({ name: "", driver: "DOCKER", endpoint: "", serviceAddress: "" });
  const [texts, setTexts] = useState<KeyTexts>({});
  const form = useSubmission(fields);
  const first = useRef<HTMLInputElement>(null);
  const change = (next: Partial<NodeInput>) => {
    setValues({ ...values, ...next });
    for (const field of Object.keys(next)) form.changed(field);
  };
  const docker = values.driver === "DOCKER";
  const scheme = docker ? schemeOf(values.endpoint) : undefined;
  const submit = (event: FormEvent) => {
    event.preventDefault();
    void form.submit(
      () => ({
        name: nameProblem(values.name),
        endpoint: values.endpoint ? "" : "Enter the address of the engine.",
        serviceAddress: values.serviceAddress ? "" : "Enter the address on which clients reach its services.",
      }),
      async () => {
        const { registerNode } = await run(RegisterNode, { input: { ...values, ...keysOf(scheme, texts) } });
        live.apply({ nodes: [registerNode] });
        dialogs.close();
        toast.done(`${registerNode.name} is registered`, "It takes new services.");
      },
    );
  };
  const keyProblem = form.problems.tls || form.problems.ssh;
  return (
    <Dialog
      open
      onClose={dialogs.close}
      title="Register node"
      description="A machine or an engine for services to run on."
      initialFocus={first}
    >
      <form onSubmit={submit} noValidate className="mt-5 space-y-4">
        <Field label="Name" error={form.problems.name} hint="Lowercase letters, digits and dashes.">
          {(wiring) => (
            <Input
              {...wiring}
              ref={first}
              value={values.name}
              onChange={(e) => change({ name: e.target.value })}
              className="font-mono"
            />
          )}
        </Field>
        <Field label="Driver" error={form.problems.driver}>
          {(wiring) => (
            <Select
              {...wiring}
              value={values.driver}
              onChange={(e) => change({ driver: e.target.value as NodeInput["driver"] })}
            >
              <option value="DOCKER">A Docker Engine</option>
              <option value="PROCESS">Processes on this machine</option>
            </Select>
          )}
        </Field>
        <Field
          label="Endpoint"
          error={form.problems.endpoint}
          hint={
            docker
              ? "Such as unix:///var/run/docker.sock, tcp://10.0.0.5:2376 or ssh://root@10.0.0.5"
              : "This machine: process"
          }
        >
          {(wiring) => (
            <Input
              {...wiring}
              value={values.endpoint}
              onChange={(e) => change({ endpoint: e.target.value })}
              className="font-mono"
            />
          )}
        </Field>
        {scheme && (
          <fieldset className="space-y-4 rounded-lg border border-line px-3.5 pt-1 pb-3.5">
            <legend className="px-1 font-medium">{scheme === "tcp" ? "Keys for TLS" : "Keys for SSH"}</legend>
            <p className="text-[0.8125rem] text-muted">They are stored encrypted and never shown again.</p>
            {keysFor[scheme].map((k) => (
              <Field key={k.name} label={k.label} hint={k.hint} error={form.problems[k.name]} optional={k.optional}>
                {(wiring) => (
                  <TextArea
                    {...wiring}
                    value={texts[k.name] ?? ""}
                    onChange={(e) => {
                      setTexts({ ...texts, [k.name]: e.target.value });
                      form.changed(k.name);
                    }}
                    className="font-mono text-[0.8125rem]"
                  />
                )}
              </Field>
            ))}
            {keyProblem && <Problem>{keyProblem}</Problem>}
          </fieldset>
        )}
        <Field
          label="Service address"
          error={form.problems.serviceAddress}
          hint="Clients reach the node's services on this address. Use 127.0.0.1 for this machine."
        >
          {(wiring) => (
            <Input
              {...wiring}
              value={values.serviceAddress}
              onChange={(e) => change({ serviceAddress: e.target.value })}
              className="font-mono"
            />
          )}
        </Field>
        {(form.problems[""] || (!scheme && keyProblem)) && <Problem>{form.problems[""] || keyProblem}</Problem>}
        <DialogActions>
          <Button onClick={dialogs.close}>Cancel</Button>
          <Button look="primary" type="submit" busy={form.busy}>
            {form.busy ? "Connecting" : "Register node"}
          </Button>
        </DialogActions>
      </form>
    </Dialog>
  );
}
