import { LogIn } from "lucide-react";
import { type FormEvent, useEffect, useRef, useState } from "react";
import { Button, Spinner } from "../../components/Button";
import { Field, Input } from "../../components/Field";
import { keepKey, onNewKey } from "../../graphql/sessionkey";
import { createStore, useStore } from "../../lib/store";
import { returnFromSignIn, signedInElsewhere, signInReason } from "../../model/signinreturn";
import { failureOf, secretOf, storageForbidden } from "./signin";

interface State {
  busy: boolean;
  problem: string;
  /** Signed in: the page to return to is being loaded. */
  done: boolean;
}

// Outside React: a link works once, and must not be tried twice because a component was mounted twice.
const store = createStore<State>({ busy: false, problem: "", done: false });
const become = store.set;

async function signIn(secret: string) {
  if (store.get().busy || store.get().done) return;
  become({ busy: true, problem: "", done: false });
  let answer: Response;
  try {
    answer = await fetch("/auth/sign-in", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ secret }),
    });
  } catch {
    return become({ busy: false, problem: failureOf(0, ""), done: false });
  }
  const body = await answer.json().catch(() => undefined);
  if (answer.ok) {
    if (!keepKey(String(body?.sessionKey ?? "")))
      return become({ busy: false, problem: storageForbidden, done: false });
    become({ busy: false, problem: "", done: true });
    return returnFromSignIn();
  }
  become({ busy: false, problem: failureOf(answer.status, String(body?.errors?.[0]?.message ?? "")), done: false });
}

/** Signs in with what a login link has after "#". */
export function tryFragment(fragment: string) {
  const secret = secretOf(fragment);
  if (secret) void signIn(secret);
}

const whys = {
  "": "",
  out: "You are signed out.",
  ended: "Your session has ended. Sign in to continue where you were.",
};

/** The one page for who is not signed in. */
export function SignIn() {
  const { busy, problem, done } = useStore(store);
  const [text, setText] = useState("");
  const [missing, setMissing] = useState("");
  const [why] = useState(signInReason);
  const input = useRef<HTMLInputElement>(null);
  useEffect(() => {
    document.title = "Sign in · UWS";
    // Another link, opened in this tab while this page is there already.
    const onHash = () => {
      const fragment = location.hash;
      if (!fragment) return;
      history.replaceState(null, "", "/sign-in");
      tryFragment(fragment);
    };
    addEventListener("hashchange", onHash);
    return () => removeEventListener("hashchange", onHash);
  }, []);
  // A sign-in in another tab counts for all tabs. It may have happened before this page listened.
  useEffect(() => {
    if (!store.get().busy && !store.get().done && signedInElsewhere()) returnFromSignIn();
    return onNewKey(returnFromSignIn);
  }, []);
  useEffect(() => {
    if (problem || missing) input.current?.focus();
  }, [problem, missing]);
  const submit = (event: FormEvent) => {
    event.preventDefault();
    const secret = secretOf(text);
    setMissing(secret ? "" : "Paste a login link or a token.");
    if (secret) void signIn(secret);
  };
  const waiting = (busy && !text) || done;
  return (
    <main className="flex min-h-full items-start justify-center p-4 sm:items-center">
      <div className="w-full max-w-md rounded-xl border border-line bg-surface p-5 shadow-float sm:p-7">
        <div className="flex items-center gap-3">
          <img src="/favicon.svg" alt="" width={32} height={32} />
          <div>
            <h1 className="text-lg leading-6 font-semibold tracking-tight">Sign in</h1>
            <p className="text-muted">UWS Orchestrator</p>
          </div>
        </div>
        {whys[why] && (
          <p role="status" className="mt-4 rounded-md bg-sunken px-3 py-2">
            {whys[why]}
          </p>
        )}
        {waiting ? (
          <p role="status" className="mt-6 flex items-center gap-2.5 text-muted">
            <Spinner /> Signing in
          </p>
        ) : (
          <form onSubmit={submit} noValidate className="mt-5 space-y-4">
            <Field label="Login link or token" error={missing || problem}>
              {(wiring) => (
                <Input
                  {...wiring}
                  ref={input}
                  type="password"
                  autoComplete="current-password"
                  autoFocus
                  value={text}
                  onChange={(e) => {
                    setText(e.target.value);
                    setMissing("");
                  }}
                  className="font-mono"
                />
              )}
            </Field>
            <Button
              look="primary"
              type="submit"
              busy={busy}
              className="w-full"
              icon={<LogIn size={16} aria-hidden="true" />}
            >
              {busy ? "Signing in" : "Sign in"}
            </Button>
          </form>
        )}
        <section aria-labelledby="how" className="mt-6 border-t border-line pt-4 text-[0.8125rem] text-muted">
          <h2 id="how" className="font-medium text-text">
            How to get a link
          </h2>
          <p className="mt-1">On the machine of the server, in its folder:</p>
          <pre className="mt-1.5 overflow-x-auto rounded-md bg-sunken px-3 py-2 font-mono text-text">
            uws login-link
          </pre>
          <p className="mt-1.5">
            Open the printed link within 15 minutes. It works once. You can also ask an ADMIN for a link, or sign in
            with a token.
          </p>
        </section>
      </div>
    </main>
  );
}
