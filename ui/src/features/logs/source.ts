import { stringifyDocument } from "@urql/core";
import { runUncached } from "../../graphql/client";
import { connect } from "../../graphql/socket";
import { ApiError } from "../../lib/errors";
import { sentence } from "../../lib/format";
import { type LogBatch, ServiceLogs, ServiceLogsPage } from "./documents";
import type { LogSource } from "./feed";

/** Returns the log of a service in the API. */
export function logOf(id: string): LogSource {
  return {
    page: async (query) => (await runUncached(ServiceLogsPage, { id, ...query })).serviceLogs,
    follow: (since, next, ended) =>
      connect().subscribe<{ serviceLogs: LogBatch }>(
        {
          query: stringifyDocument(ServiceLogs),
          // The client sends the same object after a reconnect: a getter, so that it is the cursor of then.
          get variables() {
            return { id, since: since() };
          },
        },
        {
          next: ({ data, errors }) => {
            if (data?.serviceLogs) next(data.serviceLogs);
            else if (errors) ended(asApiError(errors));
          },
          error: (errors) => ended(asApiError(errors)),
          complete: () => ended(),
        },
      ),
  };
}

function asApiError(errors: unknown): ApiError | undefined {
  const first = Array.isArray(errors) ? errors[0] : undefined;
  if (!first) return undefined; // the connection: nothing is known
  const { code, text, field } = first.extensions ?? {};
  return new ApiError(sentence(String(text ?? first.message)), String(code ?? "INTERNAL"), String(field ?? ""));
}
