import { useQuery } from "urql";
import { Ago } from "../../components/Time";
import { HealthSettings } from "../../graphql/documents";
import { Row } from "./Row";
import { healthCheckWords, lastWriteWords } from "./words";

/** How the service is checked, as rows of a list. It is not part of what the feed keeps up to date. */
export function HealthCheckSettings({ id }: { id: string }) {
  const [{ data, error }] = useQuery({
    query: HealthSettings,
    variables: { id },
    requestPolicy: "cache-and-network",
  });
  const c = data?.service?.healthCheck;
  if (!c) return <Row name="Health check">{error ? "not available" : "…"}</Row>;
  return (
    <>
      <Row name="Health check">{healthCheckWords(c)}</Row>
      <Row name="Write check">
        {c.writeIntervalSeconds === null ? (
          "none: this engine is checked by reading only"
        ) : (
          <>
            every {c.writeIntervalSeconds} s
            {c.lastWrite && (
              <span className="text-muted">
                ; {lastWriteWords(c.lastWrite)} <Ago at={c.lastWrite.at} />
              </span>
            )}
          </>
        )}
      </Row>
    </>
  );
}
