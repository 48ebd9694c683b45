import type { RefObject } from "react";
import { Field, Input, Problem, Select } from "../../components/Field";
import type { Kind } from "../../graphql/documents";
import type { Submission } from "../../lib/form";
import { kindNames, kinds } from "../../model/kinds";
import { type Role, roles, roleWhat } from "../../model/rights";
import type { Rights } from "./access";

interface Props {
  value: Rights;
  set: (next: Rights) => void;
  form: Submission;
  nameHint: string;
  first: RefObject<HTMLInputElement | null>;
}

/** For whom a token or a link is, and what it allows. */
export function RightsFields({ value, set, form, nameHint, first }: Props) {
  const { problems } = form;
  const onChange = (next: Partial<Rights>) => {
    set({ ...value, ...next });
    for (const field of Object.keys(next)) form.changed(field);
  };
  const toggle = (kind: Kind, on: boolean) =>
    onChange({ kinds: on ? [...value.kinds, kind] : value.kinds.filter((k) => k !== kind) });
  return (
    <>
      <Field label="Name" hint={nameHint} error={problems.name}>
        {(wiring) => (
          <Input
            {...wiring}
            ref={first}
            maxLength={100}
            value={value.name}
            onChange={(e) => onChange({ name: e.target.value })}
          />
        )}
      </Field>
      <Field label="Role" hint={roleWhat[value.role]} error={problems.role}>
        {(wiring) => (
          <Select {...wiring} value={value.role} onChange={(e) => onChange({ role: e.target.value as Role })}>
            {roles.map((role) => (
              <option key={role} value={role}>
                {role}
              </option>
            ))}
          </Select>
        )}
      </Field>
      {value.role !== "ADMIN" && (
        <fieldset>
          <legend className="mb-1.5 font-medium">
            Kinds <span className="font-normal text-muted">(all when none is chosen)</span>
          </legend>
          <div className="flex flex-wrap gap-x-4 gap-y-1">
            {kinds.map((kind) => (
              <label key={kind} className="inline-flex min-h-7 items-center gap-2">
                <input
                  type="checkbox"
                  checked={value.kinds.includes(kind)}
                  onChange={(e) => toggle(kind, e.target.checked)}
                  className="size-4 min-h-6 accent-accent"
                />
                {kindNames[kind]}
              </label>
            ))}
          </div>
          {problems.kinds && <Problem>{problems.kinds}</Problem>}
        </fieldset>
      )}
    </>
  );
}
