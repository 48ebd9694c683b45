import { useEffect, useRef, useState } from "react";
import { saveAs } from "../../lib/save";
import { toast } from "../../lib/toast";
import { wholeLog } from "./download";
import type { LogSource } from "./feed";

export interface Download {
  /** How many lines have arrived; undefined while there is no download. */
  lines: number | undefined;
  start: () => void;
  cancel: () => void;
}

/** Saves the whole log of a service as a file, one download at a time. It is cancelled when the tab is left. */
export function useDownload(source: LogSource, name: string): Download {
  const [lines, setLines] = useState<number>();
  const control = useRef<AbortController>(undefined);
  const cancel = () => {
    control.current?.abort();
    setLines(undefined);
  };
  useEffect(() => () => control.current?.abort(), []);
  const start = async () => {
    control.current = new AbortController();
    const { signal } = control.current;
    setLines(0);
    try {
      const now = new Date().toISOString().slice(0, 19).replaceAll(":", "-");
      saveAs(await wholeLog(source, setLines, signal), `${name}-${now}.log`);
    } catch (error) {
      if (!signal.aborted) toast.failed("The log was not downloaded", error);
    } finally {
      if (!signal.aborted) setLines(undefined);
    }
  };
  return { lines, start: () => void start(), cancel };
}
