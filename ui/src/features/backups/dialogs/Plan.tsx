import { useEffect, useState } from "react";
import { Loading } from "../../../components/Empty";
import { Problem } from "../../../components/Field";
import { wordsOf } from "../../../lib/errors";

/** What an action would do, as the server says. */
export interface Plan {
  steps: readonly string[];
  warnings: readonly string[];
}

/** Asks for the plan of an action, again whenever `act` changes: it is called without confirmation. Nothing is asked without it. */
export function usePlan(act: ((confirm: boolean) => Promise<Plan>) | undefined): {
  plan?: Plan | undefined;
  problem: string;
} {
  const [answer, setAnswer] = useState<{ plan?: Plan; problem: string }>({ problem: "" });
  useEffect(() => {
    let current = true;
    setAnswer({ problem: "" });
    act?.(false).then(
      (plan) => current && setAnswer({ plan, problem: "" }),
      (error) => current && setAnswer({ problem: wordsOf(error) }),
    );
    return () => {
      current = false;
    };
  }, [act]);
  return answer;
}

/** What will happen, and what to know before. */
export function PlanSection({ plan, problem }: { plan?: Plan | undefined; problem: string }) {
  if (problem) return <Problem>{problem}</Problem>;
  return (
    <section aria-label="Plan" data-plan className="rounded-lg border border-line bg-sunken px-3.5 py-3">
      <h3 className="mb-1 font-medium">What will happen</h3>
      {plan ? (
        <>
          <ol className="list-decimal space-y-1 pl-5">
            {plan.steps.map((text) => (
              <li key={text} className="[overflow-wrap:anywhere]">
                {text}
              </li>
            ))}
          </ol>
          {plan.warnings.length > 0 && <h3 className="mt-3 mb-1 font-medium">What to know before</h3>}
          {plan.warnings.map((text) => (
            <p key={text} className="[overflow-wrap:anywhere]">
              {text}
            </p>
          ))}
        </>
      ) : (
        <Loading />
      )}
    </section>
  );
}
