import type { LogSource } from "./feed";
import { asText } from "./text";

const pageSize = 1_000; // lines

/** Reads a whole log, page by page from its end. `progress` is called with the number of lines so far. */
export async function wholeLog(
  source: LogSource,
  progress: (lines: number) => void,
  signal: AbortSignal,
): Promise<Blob> {
  const parts: string[] = [];
  let lines = 0;
  for (let before: string | undefined; ; ) {
    const page = await source.page({ first: pageSize, before });
    signal.throwIfAborted();
    parts.push(page.nodes.map((line) => `${asText(line)}\n`).join(""));
    lines += page.nodes.length;
    progress(lines);
    before = page.nodes[0]?.cursor;
    if (!page.pageInfo.hasPreviousPage || !before) break;
  }
  return new Blob(parts.reverse(), { type: "text/plain;charset=utf-8" });
}
