import { Archive, Database, KeyRound, Layers, ListOrdered } from "lucide-react";
import type { Kind } from "../model/kinds";

export const kindIcons: Record<Kind, typeof Archive> = {
  BUCKET: Archive,
  DB: Database,
  NOSQL: Layers,
  QUEUE: ListOrdered,
  SECRETS: KeyRound,
};
