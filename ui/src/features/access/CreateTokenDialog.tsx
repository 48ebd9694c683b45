import { type FormEvent, useRef, useState } from "react";
import { Button } from "../../components/Button";
import { Dialog, DialogActions } from "../../components/Dialog";
import { Field, Problem, Select } from "../../components/Field";
import { CreateToken, Tokens } from "../../graphql/access";
import { client, run } from "../../graphql/client";
import { endOf, labelProblem, lifetimes, type Rights, rightsInput } from "../../lib/access";
import { dialogs } from "../../lib/dialogs";
import { useSubmission } from "../../lib/form";
import { RightsFields } from "./RightsFields";
import { SecretDialog } from "./Secret";

/** Makes a token for a program, and shows its secret once. */
export function CreateTokenDialog() {
  const [values, setValues] = useState<Rights>({ name: "", role: "OPERATOR", kinds: [] });
  const [days, setDays] = useState(90);
  const [made, setMade] = useState<{ name: string; secret: string }>();
  const form = useSubmission(["name", "role", "kinds", "expiresAt"]);
  const first = useRef<HTMLInputElement>(null);
  const submit = (event: FormEvent) => {
    event.preventDefault();
    void form.submit(
      () => ({ name: labelProblem(values.name) }),
      async () => {
        const expiresAt = endOf(days, Date.now());
        const { createToken } = await run(CreateToken, {
          input: { ...rightsInput(values), ...(expiresAt && { expiresAt }) },
        });
        setMade({ name: createToken.token.name, secret: createToken.secret });
        void client.query(Tokens, {}, { requestPolicy: "network-only" }).toPromise();
      },
    );
  };
  if (made) {
    return (
      <SecretDialog
        title={<>Token {made.name}</>}
        description="Copy it now: it is shown this once, and nowhere else. A program sends it as “Authorization: Bearer” and the token."
        text={made.secret}
        what="the token"
      />
    );
  }
  return (
    <Dialog
      open
      onClose={dialogs.close}
      title="Create token"
      description="For a program, or for a browser that signs in with it."
      initialFocus={first}
    >
      <form onSubmit={submit} noValidate className="mt-5 space-y-4">
        <RightsFields
          value={values}
          set={setValues}
          form={form}
          nameHint="What it is for. Each token has its own name."
          first={first}
        />
        <Field label="Ends" error={form.problems.expiresAt}>
          {(wiring) => (
            <Select {...wiring} value={days} onChange={(e) => setDays(Number(e.target.value))}>
              {lifetimes.map((l) => (
                <option key={l.days} value={l.days}>
                  {l.label}
                </option>
              ))}
            </Select>
          )}
        </Field>
        {form.problems[""] && <Problem>{form.problems[""]}</Problem>}
        <DialogActions>
          <Button onClick={dialogs.close}>Cancel</Button>
          <Button look="primary" type="submit" busy={form.busy}>
            Create token
          </Button>
        </DialogActions>
      </form>
    </Dialog>
  );
}
