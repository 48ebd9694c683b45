import { useParams, useRouter } from "@tanstack/react-router";
import { type Ref, useRef, useState } from "react";
import { ConfirmDialog } from "../../components/ConfirmDialog";
import { cx } from "../../components/cx";
import { client, run } from "../../graphql/client";
import { Remove, Retained } from "../../graphql/documents";
import { live } from "../../graphql/live";
import { toast } from "../../lib/toast";
import { useBackupState } from "../../model/backups";
import { dialogs } from "../../model/dialogs";
import { useService } from "../../model/hooks";
import { kindNames } from "../../model/kinds";
import { duringRemoval, waitUntil } from "./actions";

type Policy = "RETAIN" | "DELETE";

const kept =
  "Data and credentials stay listed under Retained data. You can attach them to a new service. The name stays taken.";

/** Removes a service. Its data is kept by default; to delete it, the name must be typed. */
export function RemoveDialog({ id }: { id: string }) {
  const s = useService(id);
  const [last] = useState(s); // it may go while the dialog is open
  const [policy, setPolicy] = useState<Policy>("RETAIN");
  const router = useRouter();
  const { id: openId } = useParams({ strict: false });
  const keep = useRef<HTMLInputElement>(null);
  const backup = useBackupState(id);
  const name = (s ?? last)?.name ?? "this service";
  const kind = (s ?? last)?.kind;
  const mayDelete = (s ?? last)?.allowedActions.includes("DELETE_DATA") ?? false;
  const what = kind ? `${kindNames[kind].toLowerCase().replace("nosql", "NoSQL")} service` : "service";

  const remove = async () => {
    await run(Remove, { id, data: policy });
    dialogs.close();
    // Its detail page gives way to the list; the row stays until the service is gone.
    if (openId === id) await router.navigate({ to: "/$list", search: true } as never);
    void duringRemoval(id, async () => {
      const gone = await waitUntil(id, (now) => now === undefined, 5 * 60_000);
      void client.query(Retained, {}, { requestPolicy: "network-only" }).toPromise();
      if (!gone) toast.info(`${name} is still being removed`, live.service(id)?.reason);
      else if (policy === "RETAIN") toast.done(`${name} is removed`, "Its data is kept under Retained data.");
      else toast.done(`${name} is removed`, "Its data is deleted.");
    });
  };

  return (
    <ConfirmDialog
      title={<>Remove {name}?</>}
      description={`The ${what} is stopped and removed, and its endpoint stops answering. ${mayDelete ? "Choose what happens to its data." : kept}`}
      verb={policy === "DELETE" ? "Remove and delete data" : "Remove service"}
      look="danger"
      typed={policy === "DELETE" ? name : undefined}
      initialFocus={mayDelete ? keep : undefined}
      finalFocus={focusList}
      onClose={dialogs.close}
      act={remove}
    >
      {mayDelete && (
        <fieldset className="space-y-2.5">
          <legend className="sr-only">What happens to its data</legend>
          <Choice
            value="RETAIN"
            policy={policy}
            onChange={setPolicy}
            inputRef={keep}
            title="Keep its data"
            text={kept}
          />
          <Choice
            value="DELETE"
            policy={policy}
            onChange={setPolicy}
            title="Delete its data permanently"
            text={`Deletes data and credentials. ${backup && backup.state !== "NONE" ? "Its backups stay." : "There is no backup."} This cannot be undone.`}
          />
        </fieldset>
      )}
    </ConfirmDialog>
  );
}

/** The list takes the focus, since the row or page that had it may be gone. */
function focusList(): HTMLElement | null {
  return document.querySelector<HTMLElement>("[data-row] a") ?? document.querySelector<HTMLElement>("h1");
}

interface ChoiceProps {
  value: Policy;
  policy: Policy;
  onChange: (policy: Policy) => void;
  title: string;
  text: string;
  inputRef?: Ref<HTMLInputElement>;
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
