import { type RefObject, useCallback, useEffect, useLayoutEffect, useMemo, useRef, useState } from "react";
import { bytes } from "../../lib/format";
import { useStore } from "../../lib/store";
import { useTheme } from "../../lib/theme";
import { drawSparks, type Layout } from "./drawSparks";
import { sparks, startSparks } from "./sparks";

const settle = 250; // ms after the last scroll until what is in sight is asked for
const redraw = 500; // ms between two drawings of measurements
const roomStep = 8; // rows by which the canvas grows

interface Props {
  /** The services in sight, one row below the other. */
  ids: readonly string[];
  /** Where the first of them is, in px. */
  top: number;
  rowHeight: number;
  /** The head of the list, whose columns say where the lines are. */
  head: RefObject<HTMLElement | null>;
}

/** The sparklines of the rows in sight, on one canvas above them. It scrolls with them, and is drawn again when others come in sight. */
export function SparkLayer({ ids, top, rowHeight, head }: Props) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const columns = useColumns(head);
  const theme = useTheme();
  useEffect(startSparks, []);
  const visible = columns !== undefined;
  const key = ids.join();
  // biome-ignore lint/correctness/useExhaustiveDependencies: the key stands for the ids
  useEffect(() => {
    const timer = setTimeout(() => sparks.show(visible ? ids : []), settle);
    return () => clearTimeout(timer);
  }, [key, visible]);

  const draw = useCallback(() => {
    const element = canvas.current;
    const ctx = element?.getContext("2d");
    if (!element || !ctx || !columns) return;
    const dpr = devicePixelRatio;
    const room = Math.ceil(ids.length / roomStep) * roomStep * rowHeight;
    const [width, height] = [Math.round(columns.width * dpr), Math.round(room * dpr)];
    if (element.width !== width || element.height < height) {
      element.width = width;
      element.height = height;
      element.style.height = `${room}px`;
    }
    ctx.setTransform(dpr, 0, 0, dpr, 0, 0);
    ctx.clearRect(0, 0, columns.width, element.height / dpr);
    const rows = ids.flatMap((id, i) => {
      const spark = sparks.get(id);
      return spark?.track ? [{ spark, top: i * rowHeight }] : [];
    });
    const style = getComputedStyle(document.documentElement);
    drawSparks(ctx, rows, { ...columns, rowHeight }, (name) => style.getPropertyValue(name).trim());
    element.dataset.rows = String(rows.length);
    element.dataset.draws = String(Number(element.dataset.draws ?? 0) + 1);
  }, [ids, rowHeight, columns]);
  // biome-ignore lint/correctness/useExhaustiveDependencies: the theme's colours are read when it is drawn
  useLayoutEffect(draw, [draw, theme]);
  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    let last = 0;
    const end = sparks.changed.subscribe(() => {
      timer ??= setTimeout(
        () => {
          timer = undefined;
          last = performance.now();
          draw();
        },
        Math.max(0, last + redraw - performance.now()),
      );
    });
    return () => {
      clearTimeout(timer);
      end();
    };
  }, [draw]);

  if (!columns) return null;
  return (
    <div
      aria-hidden="true"
      className="pointer-events-none absolute top-0"
      style={{ left: columns.left, transform: `translateY(${top}px)` }}
    >
      <canvas ref={canvas} data-sparks className="block" style={{ width: columns.width }} />
    </div>
  );
}

type Columns = Omit<Layout, "rowHeight"> & { left: number; width: number };

/** Where the columns are; undefined while there is no room for them. */
function useColumns(head: RefObject<HTMLElement | null>): Columns | undefined {
  const [columns, setColumns] = useState<Columns>();
  useLayoutEffect(() => {
    const element = head.current;
    if (!element) return;
    const measure = () => {
      const [cpu, memory] = ["cpu", "memory"].map((name) => element.querySelector<HTMLElement>(`.col-${name}`));
      const left = cpu?.offsetLeft ?? 0;
      if (!cpu?.offsetWidth || !memory) return setColumns(undefined);
      const at = memory.offsetLeft - left;
      const next = { left, width: at + memory.offsetWidth, cpu: 0, memory: at };
      setColumns((before) => (before && before.left === left && before.width === next.width ? before : next));
    };
    const sizes = new ResizeObserver(measure);
    sizes.observe(element);
    return () => sizes.disconnect();
  }, [head]);
  return columns;
}

/** What a service uses now, in the two columns beside its lines. */
export function UseCells({ id }: { id: string }) {
  const row = useMemo(
    () => ({ get: () => sparks.get(id)?.now, subscribe: (listener: () => void) => sparks.subscribeRow(id, listener) }),
    [id],
  );
  const now = useStore(row);
  return (
    <>
      <div role="cell" className="col-cpu numbers text-right text-muted">
        {now && now.cpu !== null ? now.cpu.toFixed(2) : "—"}
      </div>
      <div role="cell" className="col-memory numbers truncate text-right text-muted">
        {now ? bytes(now.memoryBytes) : "—"}
      </div>
    </>
  );
}
