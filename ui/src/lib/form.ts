import { useState } from "react";
import { ApiError } from "../graphql/client";
import { wordsOf } from "./toast";

/** What is wrong, by the name of the field; "" is the form as a whole. */
export type Problems = Record<string, string>;

export interface Submission {
  busy: boolean;
  problems: Problems;
  /** The code of the last refusal, such as CONFLICT. */
  code: string;
  /** Checks first, then runs work; what the server says about a field ends up beside that field. */
  submit: (check: () => Problems, work: () => Promise<void>) => Promise<void>;
  /** Takes back what was said about a field, and about the group it is in ("tls" of "tls.ca"), since it changed. */
  changed: (field: string) => void;
}

export function useSubmission(fields: readonly string[]): Submission {
  const [busy, setBusy] = useState(false);
  const [problems, setProblems] = useState<Problems>({});
  const [code, setCode] = useState("");
  return {
    busy,
    problems,
    code,
    changed: (field) => {
      setProblems((all) =>
        Object.fromEntries(
          Object.entries(all).filter(([name]) => name !== "" && name !== field && !field.startsWith(`${name}.`)),
        ),
      );
      setCode("");
    },
    submit: async (check, work) => {
      const found = Object.fromEntries(Object.entries(check()).filter(([, problem]) => problem));
      setProblems(found);
      setCode("");
      if (Object.keys(found).length > 0) return focusFirstProblem();
      setBusy(true);
      try {
        await work();
      } catch (error) {
        const field = error instanceof ApiError && fields.includes(error.field) ? error.field : "";
        setProblems({ [field]: wordsOf(error) });
        setCode(error instanceof ApiError ? error.code : "");
        focusFirstProblem();
      } finally {
        setBusy(false);
      }
    },
  };
}

function focusFirstProblem() {
  requestAnimationFrame(() => document.querySelector<HTMLElement>("[role=dialog] [aria-invalid=true]")?.focus());
}
