import type { ComponentProps } from "react";
import { Select } from "../../../components/Field";
import type { Target } from "../documents";

/** A choice among targets. */
export function TargetSelect({ targets, ...rest }: ComponentProps<"select"> & { targets: readonly Target[] }) {
  return (
    <Select {...rest}>
      {targets.length === 0 && <option value="">There is no target yet</option>}
      {targets.map((t) => (
        <option key={t.id} value={t.id}>
          {t.name}
          {t.reachable ? "" : " (not reachable)"}
        </option>
      ))}
    </Select>
  );
}
