import { type FormEvent, useRef, useState } from "react";
import { Button } from "../../components/Button";
import { Dialog, DialogActions } from "../../components/Dialog";
import { Field, Problem, Select } from "../../components/Field";
import { client, run } from "../../graphql/client";
import { useSubmission } from "../../lib/form";
import { dialogs } from "../../model/dialogs";
import { endOf, labelProblem, lifetimes, type Rights, rightsInput } from "./access";
import { CreateToken, Tokens } from "./documents";
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
        description="Copy it now. It is shown only once. A program sends it in the header “Authorization: Bearer”."
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
      description="For a program, or to sign in with a browser."
      initialFocus={first}
    >
      <form onSubmit={submit} noValidate className="mt-5 space-y-4">
        <RightsFields
          value={values}
          set={setValues}
          form={form}
          nameHint="What the token is for. Names of tokens are unique."
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
