import { useLayoutEffect, useRef, useState } from "react";
import { ApiError, wordsOf } from "./errors";

/** What is wrong, by the name of the field; "" is the form as a whole. */
export type Problems = Record<string, string>;

export interface Submission {
  busy: boolean;
  problems: Problems;
  /** The code of the last refusal, such as CONFLICT. */
  code: string;
  /**
   * Checks first, then runs work; what the server says about a field ends up beside that field, which takes the focus
   * unless the person has gone on to another field or typed in the meantime.
   */
  submit: (check: () => Problems, work: () => Promise<void>) => Promise<void>;
  /** Takes back what was said about a field, and about the group it is in ("tls" of "tls.ca"), since it changed. */
  changed: (field: string) => void;
}

/** `named` gives the form's name of a field of the server's, where it has another. */
export function useSubmission(
  fields: readonly string[],
  named: (field: string) => string = (field) => field,
): Submission {
  const [busy, setBusy] = useState(false);
  const [problems, setProblems] = useState<Problems>({});
  const [code, setCode] = useState("");
  const untouched = useRef(false); // since the form was submitted
  const focusProblem = useRef(false); // whether the next problems that are set take the focus
  // In the commit that marks the field: a frame later the person may be typing elsewhere.
  useLayoutEffect(() => {
    if (!focusProblem.current || Object.keys(problems).length === 0) return;
    focusProblem.current = false;
    document.querySelector<HTMLElement>("[role=dialog] [aria-invalid=true]")?.focus();
  }, [problems]);
  return {
    busy,
    problems,
    code,
    changed: (field) => {
      untouched.current = false;
      setProblems((all) =>
        Object.fromEntries(
          Object.entries(all).filter(([name]) => name !== "" && name !== field && !field.startsWith(`${name}.`)),
        ),
      );
      setCode("");
    },
    submit: async (check, work) => {
      const from = document.activeElement;
      untouched.current = true;
      const found = Object.fromEntries(Object.entries(check()).filter(([, problem]) => problem));
      const bad = Object.keys(found).length > 0;
      focusProblem.current = bad;
      setProblems(found);
      setCode("");
      if (bad) return;
      setBusy(true);
      try {
        await work();
      } catch (error) {
        const name = error instanceof ApiError ? named(error.field) : "";
        const field = fields.find((one) => name === one || name === `input.${one}`) ?? "";
        focusProblem.current = untouched.current && [from, document.body].includes(document.activeElement);
        setProblems({ [field]: wordsOf(error) });
        setCode(error instanceof ApiError ? error.code : "");
      } finally {
        setBusy(false);
      }
    },
  };
}
