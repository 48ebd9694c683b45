import { stringifyDocument } from "@urql/core";
import { live } from "../../graphql/live";
import { connect } from "../../graphql/socket";
import { type ServiceUsage, type UsageBatch, UseFeed } from "./documents";

const again = 5_000; // ms before a subscription is repeated that the server ended

/**
 * Calls `take` with the newest measurements of services and then with each newer one, until the function that it returns is called.
 * When a service is removed, the server ends the subscription; it is repeated for those that are left.
 */
export function followUse(ids: readonly string[], take: (services: readonly ServiceUsage[]) => void): () => void {
  let over = false;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let stop = () => {};
  const left = () => ids.filter((id) => live.service(id));
  const begin = () => {
    timer = undefined;
    if (left().length === 0) return;
    const retry = () => {
      if (!over) timer ??= setTimeout(begin, again);
    };
    stop = connect().subscribe<{ usage: UsageBatch }>(
      {
        query: stringifyDocument(UseFeed),
        // The client sends the same object after a reconnect: a getter, so that it has the services of then.
        get variables() {
          return { ids: left() };
        },
      },
      {
        next: ({ data, errors }) => {
          if (over) return;
          if (data) take(data.usage.services);
          else if (errors) retry();
        },
        error: retry,
        complete: retry,
      },
    );
  };
  begin();
  return () => {
    over = true;
    clearTimeout(timer);
    stop();
  };
}
