import { useCallback, useEffect } from "react";
import { runUncached } from "../../graphql/client";
import { type Answer, useAnswer } from "../../model/answer";
import {
  type EngineStat,
  NodeUseHistory,
  type ServiceUsage,
  ServiceUse,
  ServiceUseHistory,
  type UsageHistory,
} from "./documents";
import { followUse } from "./live";
import { rangeOf, type UseRange } from "./search";
import { append, type Track, trackOf } from "./track";

/** Use over time in a range, which the answer names: another one may be on its way. */
export interface Past {
  range: UseRange;
  track: Track | null;
}

const fields = [
  "cpu",
  "memoryBytes",
  "diskBytes",
  "receivedBytesPerSecond",
  "sentBytesPerSecond",
  "connections",
] as const;

const past = (range: UseRange, history: UsageHistory | undefined): Past => ({
  range,
  track: history ? trackOf(history, fields) : null,
});

/** The use of a service over time. Each new measurement of the last hour is added as it comes. */
export function useServicePast(id: string, range: UseRange, newest: ServiceUsage | null): Answer<Past> {
  const load = useCallback(async () => {
    const { service } = await runUncached(ServiceUseHistory, { id, ...rangeOf[range] });
    return past(range, service?.usageHistory);
  }, [id, range]);
  const [answer, change] = useAnswer(load);
  useEffect(() => {
    if (!newest) return;
    change((p) => (p.track && p.range === "1h" ? { ...p, track: append(p.track, newest) } : p));
  }, [newest, change]);
  return answer;
}

export function useNodePast(id: string, range: UseRange): Answer<Past> {
  const load = useCallback(async () => {
    const { node } = await runUncached(NodeUseHistory, { id, ...rangeOf[range] });
    return past(range, node?.usageHistory);
  }, [id, range]);
  return useAnswer(load)[0];
}

export interface Now {
  usage: ServiceUsage | null;
  stats: readonly EngineStat[];
}

/** What a service uses now; undefined until that is known. */
export function useNow(id: string): Now | undefined {
  const load = useCallback(async (): Promise<Now> => {
    const { service } = await runUncached(ServiceUse, { id });
    return { usage: service?.usage ?? null, stats: service?.engineStats ?? [] };
  }, [id]);
  const [{ data }, change] = useAnswer(load);
  useEffect(
    () =>
      followUse([id], (all) => {
        const usage = all.at(-1);
        if (usage) change((now) => ({ ...now, usage }));
      }),
    [id, change],
  );
  return data;
}
