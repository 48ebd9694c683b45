import { Download, Eye } from "lucide-react";
import { useRef, useState } from "react";
import { Button } from "../../../components/Button";
import { CopyButton } from "../../../components/Copy";
import { Dialog, DialogActions } from "../../../components/Dialog";
import { Problem } from "../../../components/Field";
import { run } from "../../../graphql/client";
import { wordsOf } from "../../../lib/errors";
import { saveAs } from "../../../lib/save";
import { dialogs } from "../../../model/dialogs";
import { backupsChanged } from "../data";
import { RecoveryKit } from "../documents";

/** Shows the recovery kit of a target. It counts as taken from then on, so it is not shown before somebody asks for it. */
export function KitDialog({ id, name }: { id: string; name: string }) {
  const [kit, setKit] = useState("");
  const [problem, setProblem] = useState("");
  const [busy, setBusy] = useState(false);
  const [saved, setSaved] = useState(false);
  const first = useRef<HTMLButtonElement>(null);
  const show = async () => {
    setBusy(true);
    setProblem("");
    try {
      setKit((await run(RecoveryKit, { id })).recoveryKit.recoveryKit);
      backupsChanged();
    } catch (error) {
      setProblem(wordsOf(error));
    } finally {
      setBusy(false);
    }
  };
  return (
    <Dialog
      open
      wide
      mustAnswer
      onClose={dialogs.close}
      title={<>Recovery kit of {name}</>}
      description="With this text, and nothing else of this installation, the backups in the target can be restored. It is a secret. Keep it away from this machine: printed, or in a password manager."
      initialFocus={first}
    >
      {kit && (
        <>
          <div className="relative mt-4">
            <pre
              data-kit
              // biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls, and the keyboard must reach it
              tabIndex={0}
              role="region"
              aria-label="Recovery kit"
              onCopy={() => setSaved(true)}
              className="max-h-64 overflow-auto rounded-md border border-line bg-page p-3 pr-12 font-mono text-xs whitespace-pre-wrap [overflow-wrap:anywhere]"
            >
              {kit}
            </pre>
            <CopyButton
              text={kit}
              what="the recovery kit"
              className="absolute top-1.5 right-2 bg-page"
              onCopied={() => setSaved(true)}
            />
          </div>
          {!saved && <p className="mt-3 text-warn-text">Copy or download it before you close this dialog.</p>}
        </>
      )}
      {problem && <Problem className="mt-3">{problem}</Problem>}
      <DialogActions>
        <Button onClick={dialogs.close}>{kit ? (saved ? "Done" : "Close without saving it") : "Later"}</Button>
        {kit ? (
          <Button
            ref={first}
            look={saved ? "plain" : "primary"}
            icon={<Download size={16} aria-hidden="true" />}
            onClick={() => {
              saveAs(new Blob([kit], { type: "text/plain" }), `recovery-kit-${name}.txt`);
              setSaved(true);
            }}
          >
            Download
          </Button>
        ) : (
          <Button
            ref={first}
            look="primary"
            busy={busy}
            icon={<Eye size={16} aria-hidden="true" />}
            onClick={() => void show()}
          >
            Show the kit
          </Button>
        )}
      </DialogActions>
    </Dialog>
  );
}
