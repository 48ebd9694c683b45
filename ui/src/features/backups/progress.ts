import { stringifyDocument } from "@urql/core";
import { useEffect, useState } from "react";
import { connect } from "../../graphql/socket";
import { backupsChanged } from "./data";
import { BackupProgressFeed, type Progress } from "./documents";

/** How far a backup or restore is, as it moves; undefined until that is known. When it is over, all lists are loaded again. */
export function useProgress(id: string): Progress | undefined {
  const [progress, setProgress] = useState<Progress>();
  useEffect(() => {
    let left = false;
    const over = () => !left && backupsChanged();
    const stop = connect().subscribe<{ backupProgress: Progress }>(
      { query: stringifyDocument(BackupProgressFeed), variables: { id } },
      { next: ({ data }) => data && setProgress(data.backupProgress), error: over, complete: over },
    );
    return () => {
      left = true;
      stop();
    };
  }, [id]);
  return progress?.id === id ? progress : undefined;
}
