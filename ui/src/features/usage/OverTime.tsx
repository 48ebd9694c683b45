import { useNavigate, useSearch } from "@tanstack/react-router";
import { Gauge } from "lucide-react";
import { Button } from "../../components/Button";
import { Choice } from "../../components/Choice";
import { Empty, Failure, Loading } from "../../components/Empty";
import type { ChartMark } from "../../components/plot";
import type { Answer } from "../../model/answer";
import { Charts, type Limits } from "./Charts";
import { rangeNames, type UseRange, useRanges } from "./search";
import { hasValues } from "./track";
import type { Past } from "./useUse";

/** The range in the address. */
export function useUseRange(): [UseRange, (range: UseRange) => void] {
  const { range } = useSearch({ strict: false }) as { range?: string };
  const navigate = useNavigate();
  const set = (next: UseRange) =>
    void navigate({ to: ".", search: (before: object) => ({ ...before, range: next }), replace: true } as never);
  return [useRanges.find((r) => r === range) ?? "1h", set];
}

interface Props {
  past: Answer<Past>;
  range: UseRange;
  setRange: (range: UseRange) => void;
  limits: Limits;
  limitName?: string;
  marks: readonly ChartMark[];
  /** In seconds: there was nothing to measure before it. */
  since?: number;
}

/** Charts of what something used, and the choice of how far back. */
export function OverTime({ past, range, setRange, limits, limitName = "limit", marks, since }: Props) {
  return (
    <section aria-label="Use over time" className="space-y-5" data-range={past.data?.range}>
      <div className="flex flex-wrap items-center gap-x-3 gap-y-1">
        <h2 className="font-semibold">Use, {rangeNames[range]}</h2>
        <div className="ml-auto">
          <Choice label="Range" options={useRanges} value={range} onChange={setRange} />
        </div>
      </div>
      <Content past={past} wanted={range} limits={limits} limitName={limitName} marks={marks} since={since} />
    </section>
  );
}

interface ContentProps extends Pick<Props, "past" | "limits" | "marks"> {
  wanted: UseRange;
  limitName: string;
  since: number | undefined;
}

function Content({ past: { data, error, reload }, wanted, ...shown }: ContentProps) {
  if (error && data?.range !== wanted) {
    return (
      <Failure
        message={error}
        retry={
          <Button small onClick={reload}>
            Try again
          </Button>
        }
      />
    );
  }
  if (!data) return <Loading rows={8} />;
  const { track, range } = data;
  if (!track || !Object.values(track.columns).some(hasValues)) {
    return (
      <Empty icon={<Gauge size={20} />} title="Not measured yet">
        {range !== "1h" && `Nothing was measured in the ${rangeNames[range]}. `}
        The first values come within 30 s of a start.
      </Empty>
    );
  }
  return <Charts track={track} range={range} {...shown} />;
}
