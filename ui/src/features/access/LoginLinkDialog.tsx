import { type FormEvent, useRef, useState } from "react";
import { Button } from "../../components/Button";
import { Dialog, DialogActions } from "../../components/Dialog";
import { Problem } from "../../components/Field";
import { run } from "../../graphql/client";
import { useSubmission } from "../../lib/form";
import { clock } from "../../lib/time";
import { dialogs } from "../../model/dialogs";
import { labelProblem, type Rights, rightsInput } from "./access";
import { CreateLoginLink } from "./documents";
import { RightsFields } from "./RightsFields";
import { SecretDialog } from "./Secret";

/** Makes a link that signs a colleague in. */
export function LoginLinkDialog() {
  const [values, setValues] = useState<Rights>({ name: "", role: "VIEWER", kinds: [] });
  const [made, setMade] = useState<{ link: string; until: number }>();
  const form = useSubmission(["name", "role", "kinds"]);
  const first = useRef<HTMLInputElement>(null);
  const submit = (event: FormEvent) => {
    event.preventDefault();
    void form.submit(
      () => ({ name: labelProblem(values.name) }),
      async () => {
        const { createLoginLink } = await run(CreateLoginLink, { input: rightsInput(values) });
        setMade({ link: location.origin + createLoginLink.path, until: Date.parse(createLoginLink.expiresAt) });
      },
    );
  };
  if (made) {
    return (
      <SecretDialog
        title={<>Login link for {values.name.trim()}</>}
        description={`Signs one browser in as ${values.role}, once, and can be used until ${clock(made.until)}. Anyone with the link can use it, so send it privately.`}
        text={made.link}
        what="the link"
      />
    );
  }
  return (
    <Dialog
      open
      onClose={dialogs.close}
      title="Create login link"
      description="For a colleague or for another of your own machines."
      initialFocus={first}
    >
      <form onSubmit={submit} noValidate className="mt-5 space-y-4">
        <RightsFields
          value={values}
          set={setValues}
          form={form}
          nameHint="Who the link is for. Sessions and the audit log show this name."
          first={first}
        />
        {form.problems[""] && <Problem>{form.problems[""]}</Problem>}
        <DialogActions>
          <Button onClick={dialogs.close}>Cancel</Button>
          <Button look="primary" type="submit" busy={form.busy}>
            Create login link
          </Button>
        </DialogActions>
      </form>
    </Dialog>
  );
}
