import { ChevronRight } from "lucide-react";
import { type ReactNode, useState } from "react";
import { Field, Input, Problem } from "../../components/Field";
import type { Template } from "../../graphql/documents";
import type { Submission } from "../../lib/form";
import { fieldOf, isWhole, type LaunchValues, type NumberGroup, numbers, portField, settingOf } from "./launch";

interface Props {
  values: LaunchValues;
  problems: Submission["problems"];
  change: (next: Partial<LaunchValues>, field: string) => void;
}

/** The numbers of one group. With `why` they cannot be chosen. */
export function Numbers({
  title,
  group,
  template,
  why,
  values,
  problems,
  change,
}: Props & { title: string; group: NumberGroup; template: Template | undefined; why?: string }) {
  const own = numbers.filter((n) => n.group === group);
  return (
    <Folded
      title={title}
      matters={own.some((n) => problems[fieldOf(n)] || values.numbers[fieldOf(n)])}
      problem={problems[group]}
      why={why}
    >
      {own.map((n) => {
        const setting = settingOf(n, template);
        return (
          <Field
            key={n.name}
            label={n.label}
            hint={setting && `${setting.min.toLocaleString("en")} to ${setting.max.toLocaleString("en")}`}
            error={problems[fieldOf(n)]}
          >
            {(wiring) => (
              <Input
                {...wiring}
                inputMode={setting && isWhole(setting) ? "numeric" : "decimal"}
                placeholder={setting?.default.toString()}
                value={values.numbers[fieldOf(n)] ?? ""}
                onChange={(e) => change({ numbers: { ...values.numbers, [fieldOf(n)]: e.target.value } }, fieldOf(n))}
              />
            )}
          </Field>
        );
      })}
    </Folded>
  );
}

/** The ports on which clients reach the service, by the template's names. */
export function Ports({ names, values, problems, change }: Props & { names: readonly string[] }) {
  if (names.length === 0) return null;
  return (
    <Folded
      title={names.length === 1 ? "Port" : "Ports"}
      matters={names.some((name) => problems[portField(name)] || values.ports[name])}
      problem={problems.ports}
    >
      {names.map((name) => (
        <Field
          key={name}
          label={`Port (${name})`}
          hint={values.reattach ? "Leave empty to use its former port if that is free" : "Leave empty for a free port"}
          error={problems[portField(name)]}
        >
          {(wiring) => (
            <Input
              {...wiring}
              inputMode="numeric"
              placeholder="automatic"
              value={values.ports[name] ?? ""}
              onChange={(e) => change({ ports: { ...values.ports, [name]: e.target.value } }, portField(name))}
            />
          )}
        </Field>
      ))}
    </Folded>
  );
}

/** Folded away unless there is something to see. */
function Folded({
  title,
  matters,
  problem,
  why,
  children,
}: {
  title: string;
  matters: boolean;
  problem: string | undefined;
  why?: string | undefined;
  children: ReactNode;
}) {
  const [opened, setOpened] = useState(false);
  return (
    <details
      className="group"
      open={opened || matters || Boolean(problem)}
      onToggle={(event) => setOpened(event.currentTarget.open)}
    >
      <summary className="inline-flex min-h-7 list-none items-center gap-1.5 rounded text-muted hover:text-text">
        <ChevronRight size={15} aria-hidden="true" className="transition-transform group-open:rotate-90" />
        {title}
      </summary>
      {why ? (
        <p className="mt-2 text-muted">{why}</p>
      ) : (
        <fieldset aria-label={title} className="mt-3 grid gap-x-4 gap-y-4 min-[26rem]:grid-cols-2">
          {children}
        </fieldset>
      )}
      {problem && <Problem>{problem}</Problem>}
    </details>
  );
}
