import { useParams, useRouter } from "@tanstack/react-router";
import { type FormEvent, useRef, useState } from "react";
import { Button } from "../../components/Button";
import { cx } from "../../components/cx";
import { Dialog, DialogActions } from "../../components/Dialog";
import { Field, Input, Problem } from "../../components/Field";
import { client, run } from "../../graphql/client";
import { Remove, Retained } from "../../graphql/documents";
import { live } from "../../graphql/live";
import { duringRemoval, settle } from "../../lib/actions";
import { dialogs } from "../../lib/dialogs";
import { useSubmission } from "../../lib/form";
import { useService } from "../../lib/hooks";
import { kindNames } from "../../lib/kinds";
import { can } from "../../lib/session";
import { toast } from "../../lib/toast";

type Policy = "RETAIN" | "DELETE";

/** Says what removing does, to the service and to its data. Keeping the data is the default; deleting it takes typing the name. */
export function RemoveDialog({ id }: { id: string }) {
  const s = useService(id);
  const [last] = useState(s); // it may go while the dialog is open
  const [policy, setPolicy] = useState<Policy>("RETAIN");
  const [typed, setTyped] = useState("");
  const form = useSubmission(["typed"]);
  const router = useRouter();
  const { id: openId } = useParams({ strict: false });
  const keep = useRef<HTMLInputElement>(null);
  const cancel = useRef<HTMLButtonElement>(null);
  const name = (s ?? last)?.name ?? "this service";
  const kind = (s ?? last)?.kind;

  const submit = (event: FormEvent) => {
    event.preventDefault();
    void form.submit(
      () => ({ typed: policy === "DELETE" && typed !== name ? `Type ${name} to delete its data for ever.` : "" }),
      async () => {
        await run(Remove, { id, data: policy });
        dialogs.close();
        // Whoever looks at it is brought back to the list; the row stays until the service is gone.
        if (openId === id) await router.navigate({ to: "/$list", search: true } as never);
        void duringRemoval(id, async () => {
          const gone = await settle(id, (now) => now === undefined, 5 * 60_000);
          void client.query(Retained, {}, { requestPolicy: "network-only" }).toPromise();
          if (!gone) toast.info(`${name} is still being removed`, live.service(id)?.reason);
          else if (policy === "RETAIN")
            toast.done(`${name} is removed`, "Its data is kept: find it under Retained data.");
          else toast.done(`${name} is removed`, "Its data is deleted.");
        });
      },
    );
  };

  return (
    <Dialog
      open
      onClose={dialogs.close}
      title={<>Remove {name}?</>}
      initialFocus={can("deleteData") ? keep : cancel}
      finalFocus={focusList}
    >
      <p className="mt-1 text-muted">
        {kind ? `The ${kindNames[kind].toLowerCase().replace("nosql", "NoSQL")} service` : "It"} is stopped for ever,
        and its address stops answering.{" "}
        {can("deleteData")
          ? "What becomes of its data?"
          : "Data and credentials are kept under Retained data, and can be attached to a new service. The name stays taken."}
      </p>
      <form onSubmit={submit} noValidate className="mt-4">
        {can("deleteData") && (
          <fieldset className="space-y-2.5">
            <legend className="sr-only">What becomes of its data</legend>
            <Choice
              value="RETAIN"
              policy={policy}
              onChange={setPolicy}
              inputRef={keep}
              title="Keep its data"
              text="Data and credentials are kept under Retained data, and can be attached to a new service. The name stays taken."
            />
            <Choice
              value="DELETE"
              policy={policy}
              onChange={setPolicy}
              title="Delete its data for ever"
              text="Data and credentials are gone. There is no backup, and this cannot be undone."
            />
          </fieldset>
        )}
        {policy === "DELETE" && (
          <div className="mt-4">
            <Field
              label={
                <>
                  Type <span className="font-mono font-semibold">{name}</span> to confirm
                </>
              }
              error={form.problems.typed}
            >
              {(wiring) => (
                <Input
                  {...wiring}
                  value={typed}
                  onChange={(e) => {
                    setTyped(e.target.value);
                    form.changed("typed");
                  }}
                  className="font-mono"
                />
              )}
            </Field>
          </div>
        )}
        {form.problems[""] && <Problem className="mt-3">{form.problems[""]}</Problem>}
        <DialogActions>
          <Button ref={cancel} onClick={dialogs.close}>
            Cancel
          </Button>
          <Button look="danger" type="submit" busy={form.busy}>
            {policy === "DELETE" ? "Remove and delete data" : "Remove service"}
          </Button>
        </DialogActions>
      </form>
    </Dialog>
  );
}

/** What had the focus may be gone with the service: the list has it then. */
function focusList(): HTMLElement | null {
  return document.querySelector<HTMLElement>("[data-row] a") ?? document.querySelector<HTMLElement>("h1");
}

interface ChoiceProps {
  value: Policy;
  policy: Policy;
  onChange: (policy: Policy) => void;
  title: string;
  text: string;
  inputRef?: React.Ref<HTMLInputElement>;
}

function Choice({ value, policy, onChange, title, text, inputRef }: ChoiceProps) {
  const chosen = value === policy;
  const danger = value === "DELETE";
  return (
    <label
      className={cx(
        "flex cursor-pointer gap-3 rounded-lg border p-3 has-focus-visible:outline-2 has-focus-visible:outline-offset-2 has-focus-visible:outline-accent",
        !chosen && "border-line hover:border-line-strong",
        chosen && (danger ? "border-bad bg-bad-soft" : "border-accent bg-accent-soft"),
      )}
    >
      <input
        ref={inputRef}
        type="radio"
        name="data"
        checked={chosen}
        onChange={() => onChange(value)}
        className={cx("mt-1 size-4 shrink-0 outline-none", danger ? "accent-bad" : "accent-accent")}
      />
      <span>
        <span className={cx("block font-medium", danger && "text-bad-text")}>{title}</span>
        <span className="text-[0.8125rem] text-muted">{text}</span>
      </span>
    </label>
  );
}
