import { Eye, EyeOff, KeyRound } from "lucide-react";
import { useEffect, useState } from "react";
import { Button } from "../../components/Button";
import { CopyButton } from "../../components/Copy";
import { cx } from "../../components/cx";
import { Problem } from "../../components/Field";
import { run } from "../../graphql/client";
import { type Credentials, Reveal, type Service, type ServiceAction } from "../../graphql/documents";
import { wordsOf } from "../../lib/errors";
import { dialogs } from "../../model/dialogs";
import { can } from "../../model/session";
import { snippetsOf } from "./snippets";

const hideAfter = 5 * 60_000; // ms that secrets stay on the screen

/** Where and how to reach it. Secrets are asked for only when somebody wants to see them. */
export function ConnectTab({ s }: { s: Service }) {
  const [credentials, setCredentials] = useState<Credentials>();
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState("");
  useEffect(() => {
    if (s.rotating) setCredentials(undefined); // what was shown is about to be refused
  }, [s.rotating]);
  useEffect(() => {
    if (!credentials) return;
    const timer = setTimeout(() => setCredentials(undefined), hideAfter);
    return () => clearTimeout(timer);
  }, [credentials]);
  const may = (action: ServiceAction) => s.allowedActions.includes(action);
  const reveal = async () => {
    setBusy(true);
    setProblem("");
    try {
      setCredentials((await run(Reveal, { id: s.id })).revealCredentials);
    } catch (error) {
      setProblem(wordsOf(error));
    } finally {
      setBusy(false);
    }
  };
  if (!s.endpoint) {
    return <p className="p-4 text-muted">No endpoint yet. Its ports are chosen when the service starts.</p>;
  }
  return (
    <div className="space-y-6 p-4">
      <section aria-labelledby="endpoint">
        <h3 id="endpoint" className="mb-1.5 font-medium">
          Endpoint
        </h3>
        <Value text={s.endpoint} what="the endpoint" />
      </section>
      <section aria-labelledby="credentials">
        <div className="mb-1.5 flex items-center justify-between gap-3">
          <h3 id="credentials" className="flex-1 font-medium">
            Credentials
          </h3>
          {can("operate") && (
            <Button
              small
              busy={s.rotating}
              disabled={!may("ROTATE_CREDENTIALS") && !s.rotating}
              icon={<KeyRound size={15} aria-hidden="true" />}
              onClick={() => dialogs.open({ type: "rotate", id: s.id })}
            >
              {s.rotating ? "Changing" : "Change…"}
            </Button>
          )}
          {may("SEPARATE_ADMIN") && (
            <Button small onClick={() => dialogs.open({ type: "separate", id: s.id })}>
              Superuser…
            </Button>
          )}
          {credentials ? (
            <Button small icon={<EyeOff size={15} aria-hidden="true" />} onClick={() => setCredentials(undefined)}>
              Hide
            </Button>
          ) : (
            may("REVEAL_CREDENTIALS") && (
              <Button small busy={busy} icon={<Eye size={15} aria-hidden="true" />} onClick={reveal}>
                Reveal
              </Button>
            )
          )}
        </div>
        {problem && <Problem>{problem}</Problem>}
        {credentials ? (
          <dl className="space-y-2">
            {credentials.values.map((v) => (
              <div key={v.name} className="grid grid-cols-[7.5rem_minmax(0,1fr)] items-center">
                <dt className="truncate text-muted">{v.name}</dt>
                <dd>
                  <Value text={v.value} what={v.name} />
                </dd>
              </div>
            ))}
          </dl>
        ) : (
          <p className="rounded-md border border-dashed border-line px-3 py-2.5 text-muted">
            {may("REVEAL_CREDENTIALS")
              ? "Hidden. Reveal them to copy them and to fill in the snippets below."
              : can("operate")
                ? "Hidden. They cannot be revealed now."
                : "Hidden. You need the role OPERATOR to see them."}
          </p>
        )}
      </section>
      <Snippets s={s} credentials={credentials} />
    </div>
  );
}

function Value({ text, what }: { text: string; what: string }) {
  return (
    <div className="flex items-center gap-1 rounded-md border border-line bg-page py-1 pr-1 pl-3">
      <code className="min-w-0 flex-1 font-mono text-[0.8125rem] select-all [overflow-wrap:anywhere]">{text}</code>
      <CopyButton text={text} what={what} />
    </div>
  );
}

function Snippets({ s, credentials }: { s: Service; credentials: Credentials | undefined }) {
  const all = snippetsOf(s, credentials);
  const [language, setLanguage] = useState(all[0]?.language ?? "");
  const shown = all.find((x) => x.language === language) ?? all[0];
  if (!shown) return null;
  return (
    <section aria-labelledby="snippets">
      <h3 id="snippets" className="mb-1.5 font-medium">
        Use it
      </h3>
      <div className="overflow-hidden rounded-lg border border-line">
        <div className="flex items-start gap-1 border-b border-line bg-sunken p-1">
          <div className="flex flex-1 flex-wrap gap-0.5" role="group" aria-label="Language">
            {all.map((x) => (
              <button
                key={x.language}
                type="button"
                aria-pressed={x === shown}
                onClick={() => setLanguage(x.language)}
                className={cx(
                  "min-h-7 rounded px-2.5 text-[0.8125rem]",
                  x === shown ? "bg-raised text-text shadow-sm ring-1 ring-line" : "text-muted hover:text-text",
                )}
              >
                {x.language}
              </button>
            ))}
          </div>
          <CopyButton text={shown.code} what={`the ${shown.language} snippet`} />
        </div>
        <div className="bg-page">
          <pre
            role="region"
            // biome-ignore lint/a11y/noNoninteractiveTabindex: long lines are scrolled with the keyboard
            tabIndex={0}
            aria-label={`${shown.language} snippet`}
            className="overflow-x-auto p-3 font-mono text-xs leading-5 -outline-offset-2"
          >
            {shown.code}
          </pre>
        </div>
      </div>
      {shown.needs && (
        <p className="mt-1.5 text-[0.8125rem] text-muted">
          Needs <code className="font-mono">{shown.needs}</code>
        </p>
      )}
    </section>
  );
}
