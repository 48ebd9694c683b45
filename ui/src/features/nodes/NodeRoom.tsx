import { cx } from "../../components/cx";
import type { NodeUsage } from "./documents";
import { part, type Room, restOf, roomsOf, usedWords } from "./room";

/** What a machine has and what of it is used, promised and free: a bar for each, and the numbers. */
export function NodeRoom({ usage }: { usage: NodeUsage }) {
  return (
    <dl className="space-y-3" data-room>
      {roomsOf(usage).map((room) => (
        <RoomRow key={room.name} room={room} />
      ))}
    </dl>
  );
}

const high = 90; // percent

/** As in the bar. */
const swatches = {
  services: "size-2 rounded-full bg-accent",
  promised: "h-2.5 w-0.5 bg-text",
  free: "size-2 rounded-full bg-sunken ring-1 ring-line-strong",
};

function RoomRow({ room }: { room: Room }) {
  const used = part(room.used, room.total);
  const over = room.promised !== null && room.total !== null && room.promised > room.total;
  return (
    <div className="grid grid-cols-[minmax(0,1fr)_auto] items-baseline gap-x-3">
      <dt className="text-muted">{room.name}</dt>
      <dd className="numbers">{usedWords(room)}</dd>
      <dd className="numbers col-span-full text-xs text-muted">
        {room.total !== null && (
          <div
            aria-hidden="true"
            className="relative mt-1 h-2.5 overflow-hidden rounded-full bg-sunken ring-1 ring-line"
          >
            <span
              className={cx("absolute inset-y-0 left-0", used > high ? "bg-warn" : "bg-accent/40")}
              style={{ width: `${used}%` }}
            />
            {room.services !== null && (
              <span
                className="absolute inset-y-0 left-0 bg-accent"
                style={{ width: `${Math.min(used || 100, part(room.services, room.total))}%` }}
              />
            )}
            {room.promised !== null && room.promised > 0 && (
              <span
                className="absolute inset-y-0 w-0.5 -translate-x-full bg-text"
                style={{ left: `${part(room.promised, room.total)}%` }}
              />
            )}
          </div>
        )}
        <span className="mt-1 flex flex-wrap gap-x-3">
          {restOf(room).map(({ what, words }) => (
            <span
              key={what}
              className={cx(
                "inline-flex items-center gap-1.5",
                what === "promised" && over && "font-semibold text-warn-text",
              )}
            >
              <span aria-hidden="true" className={swatches[what]} />
              {words}
              {what === "promised" && over && ", more than there is"}
            </span>
          ))}
        </span>
      </dd>
    </div>
  );
}
