import { useEffect, useState } from "react";
import { Button } from "../../components/Button";
import { Dialog, DialogActions } from "../../components/Dialog";
import { Loading } from "../../components/Empty";
import { Problem } from "../../components/Field";
import { run } from "../../graphql/client";
import { EventsPage } from "../../graphql/documents";
import { graphql } from "../../graphql/graphql";
import { wordsOf } from "../../lib/errors";
import { useSubmission } from "../../lib/form";
import { sentence } from "../../lib/format";
import { toast } from "../../lib/toast";
import { dialogs } from "../../model/dialogs";
import { useService } from "../../model/hooks";
import { waitUntil } from "./actions";

// Not in documents.ts: only this dialog, which is loaded when it is opened, needs it.
const SeparateAdmin = graphql(`
  mutation SeparateAdmin($id: ID!, $confirm: Boolean!) {
    separateAdmin(id: $id, confirm: $confirm) { begun stopsWorking blockers }
  }
`);

interface Plan {
  stopsWorking: readonly string[];
  blockers: readonly string[];
}

/** Makes the user of an older database an ordinary role, once what stops working was listed. */
export function SeparateDialog({ id }: { id: string }) {
  const s = useService(id);
  const [last] = useState(s); // it may go while the dialog is open
  const name = (s ?? last)?.name ?? "this service";
  const [plan, setPlan] = useState<Plan>();
  const [problem, setProblem] = useState("");
  const form = useSubmission([]);
  useEffect(() => {
    run(SeparateAdmin, { id, confirm: false }).then(
      (answer) => setPlan(answer.separateAdmin),
      (error) => setProblem(wordsOf(error)),
    );
  }, [id]);
  const separate = async () => {
    const { separateAdmin } = await run(SeparateAdmin, { id, confirm: true });
    if (!separateAdmin.begun) return setPlan(separateAdmin); // something came in the way meanwhile
    dialogs.close();
    void showResult(id, name);
  };
  const blocked = !plan || plan.blockers.length > 0;
  return (
    <Dialog
      open
      onClose={dialogs.close}
      title={<>Take superuser rights from the user of {name}?</>}
      description="The user of a database from an older version is PostgreSQL's superuser, which can also read files and run programs. This makes it an ordinary role with the same name, password and objects. Its sessions end."
    >
      <form
        noValidate
        onSubmit={(event) => {
          event.preventDefault();
          if (!blocked) void form.submit(() => ({}), separate);
        }}
      >
        {problem ? (
          <Problem className="mt-3">{problem}</Problem>
        ) : !plan ? (
          <Loading />
        ) : (
          <div className="mt-4 space-y-4">
            {plan.blockers.length > 0 && <Sentences title="Blocked by" all={plan.blockers} />}
            <Sentences title="What stops working" all={plan.stopsWorking} />
          </div>
        )}
        {form.problems[""] && <Problem className="mt-3">{form.problems[""]}</Problem>}
        <DialogActions>
          <Button onClick={dialogs.close}>{blocked ? "Close" : "Cancel"}</Button>
          {!blocked && (
            <Button look="danger" type="submit" busy={form.busy}>
              Take superuser rights
            </Button>
          )}
        </DialogActions>
      </form>
    </Dialog>
  );
}

function Sentences({ title, all }: { title: string; all: readonly string[] }) {
  return (
    <section>
      <h3 className="font-medium">{title}</h3>
      <ul className="mt-1 list-disc space-y-1 pl-5 text-[0.8125rem]">
        {all.map((text) => (
          <li key={text}>{sentence(text)}</li>
        ))}
      </ul>
    </section>
  );
}

/** Shows the result of a separation, which is the reason code of its last event. */
async function showResult(id: string, name: string) {
  await waitUntil(id, (s) => !s || s.rotating, 2_000); // a quick one may be over before we see it
  if (!(await waitUntil(id, (s) => !s?.rotating, 10 * 60_000))) {
    toast.info(`The user of ${name} is still being changed`, "See its events.");
    return;
  }
  try {
    const { events } = await run(EventsPage, { filter: { serviceId: id }, first: 20 });
    const end = events.nodes.find((e) => /^(ROTATED|ROTATION_FAILED)$/.test(e.reasonCode ?? ""));
    if (end?.reasonCode === "ROTATED") toast.done(`The user of ${name} is no longer a superuser`, sentence(end.reason));
    else if (end) toast.failed(`The user of ${name} is still a superuser`, sentence(end.reason));
  } catch (error) {
    toast.failed(`Could not find out whether the user of ${name} was changed`, error);
  }
}
