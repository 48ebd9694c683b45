import { Pin } from "lucide-react";
import { type KeyboardEvent, type PointerEvent, useId, useMemo, useState } from "react";
import { cx } from "../../components/cx";
import { dated } from "../../lib/time";
import type { Backup } from "./documents";
import { nearest, type Spot, spotsOf } from "./timeline";
import { isUnderWay, timelineWords } from "./words";

interface Props {
  backups: readonly Backup[];
  /** The id of the backup that is chosen; the newest that can be if it is undefined. */
  chosen: string | undefined;
  onChoose: (id: string) => void;
  /** Which ones can be chosen; all if it is left out. */
  only?: (b: Backup) => boolean;
  label: string;
}

/**
 * Backups by time. One of them is chosen by a click or with the arrow keys; what is known of it, or of the one under the
 * pointer, stands below.
 */
export function Timeline({ backups, chosen, onChoose, only = () => true, label }: Props) {
  const { from, to, spots } = useMemo(() => spotsOf(backups, Date.now()), [backups]);
  const [over, setOver] = useState(-1);
  const note = useId();
  const choices = spots.filter((s) => only(s.backup));
  const found = choices.findIndex((s) => s.backup.id === chosen);
  const at = found < 0 ? choices.length - 1 : found;
  const shown = choices[over] ?? choices[at];
  if (!shown) return null;
  const indexAt = (event: PointerEvent<HTMLElement>) => {
    const box = event.currentTarget.getBoundingClientRect();
    return nearest(choices, (event.clientX - box.left - inset) / (box.width - 2 * inset));
  };
  const choose = (index: number) => {
    const next = choices[Math.max(0, Math.min(choices.length - 1, index))];
    if (next) onChoose(next.backup.id);
  };
  const onKeyDown = (event: KeyboardEvent) => {
    const to: Record<string, number> = {
      ArrowLeft: at - 1,
      ArrowDown: at - 1,
      ArrowRight: at + 1,
      ArrowUp: at + 1,
      PageDown: at - 10,
      PageUp: at + 10,
      Home: 0,
      End: choices.length - 1,
    };
    const index = to[event.key];
    if (index === undefined) return;
    event.preventDefault();
    setOver(-1);
    choose(index);
  };
  return (
    <div data-timeline>
      <div
        role="slider"
        tabIndex={0}
        aria-label={label}
        aria-valuemin={1}
        aria-valuemax={choices.length}
        aria-valuenow={at + 1}
        aria-valuetext={timelineWords((choices[at] as Spot).backup)}
        aria-describedby={note}
        onKeyDown={onKeyDown}
        onPointerMove={(event) => setOver(indexAt(event))}
        onPointerLeave={() => setOver(-1)}
        onClick={(event) => choose(indexAt(event as unknown as PointerEvent<HTMLElement>))}
        className="relative h-14 cursor-pointer touch-pan-y rounded-lg border border-line bg-sunken"
      >
        <span
          aria-hidden="true"
          className="absolute top-1/2 border-t border-line-strong"
          style={{ left: inset, right: inset }}
        />
        {spots.map((spot) => (
          <SpotMark key={spot.backup.id} spot={spot} shown={spot === shown} dim={!only(spot.backup)} />
        ))}
      </div>
      <p aria-hidden="true" className="numbers mt-1 flex justify-between text-xs text-muted">
        <span>{dated(from)}</span>
        <span>{dated(to)}</span>
      </p>
      <p id={note} className="numbers mt-1 text-[0.8125rem] [overflow-wrap:anywhere]">
        {timelineWords(shown.backup)}
      </p>
    </div>
  );
}

const inset = 14; // px at both ends, so that marks stay inside

/** Complete backups are discs, with a ring if proven and a pin above if pinned; failed ones squares; others hollow rings. */
function SpotMark({ spot: { backup: b, at }, shown, dim }: { spot: Spot; shown: boolean; dim: boolean }) {
  return (
    <span
      aria-hidden="true"
      data-spot={b.state}
      className={cx("absolute top-1/2", dim && "opacity-35", shown && "z-1")}
      style={{ left: `calc(${inset}px + (100% - ${2 * inset}px) * ${at})` }}
    >
      <span
        className={cx(
          "absolute block size-3 -translate-x-1/2 -translate-y-1/2",
          b.state === "FAILED"
            ? "rounded-[2px] bg-bad"
            : isUnderWay(b)
              ? "rounded-full border-2 border-busy bg-sunken"
              : "rounded-full bg-good",
          b.provenAt !== null && "ring-2 ring-good-text ring-offset-2 ring-offset-sunken",
          shown && "outline-2 outline-offset-[5px] outline-accent",
        )}
      />
      {b.pinned && <Pin size={12} className="absolute -top-6 -translate-x-1/2 text-accent-text" />}
    </span>
  );
}
