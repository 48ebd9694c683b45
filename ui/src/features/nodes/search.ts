import { drop, oneOf, type Raw, text } from "../../lib/search";
import { type UseRange, useRanges } from "../usage/search";

export interface NodesSearch {
  /** The node whose details are open. */
  node?: string | undefined;
  range?: UseRange | undefined;
}

export function nodesSearch(raw: Raw): NodesSearch {
  return drop({ node: text(raw.node), range: oneOf(useRanges, raw.range) });
}
