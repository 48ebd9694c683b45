import { Component, type ComponentType, type ReactNode, Suspense, use, useEffect, useState } from "react";
import { type Chunk, chunk, isOutdated } from "../lib/chunks";
import { Button } from "./Button";
import { Failure } from "./Empty";

/**
 * Lazy returns a component whose code is a chunk of its own. While the chunk loads, `loading` stands in for it; when it
 * cannot be loaded, an error with a way to retry does, and one to `dismiss` it where that is possible. The page around it
 * stays as it is.
 */
export function lazyPart<P extends object>(
  load: () => Promise<ComponentType<P>>,
  loading: (props: P) => ReactNode,
  dismiss?: () => void,
) {
  const part = chunk(load);
  return Object.assign(
    (props: P) => (
      <Boundary part={part} dismiss={dismiss}>
        <Suspense fallback={loading(props)}>
          <Loaded part={part} props={props} />
        </Suspense>
      </Boundary>
    ),
    { chunk: part },
  );
}

function Loaded<P extends object>({ part, props }: { part: Chunk<ComponentType<P>>; props: P }) {
  const Part = part.loaded() ?? use(part.get());
  return <Part {...props} />;
}

interface BoundaryProps {
  part: Chunk<unknown>;
  dismiss?: (() => void) | undefined;
  children: ReactNode;
}

/** Catches the failure of a chunk; any other error passes through. */
class Boundary extends Component<BoundaryProps, { error?: unknown }> {
  override state: { error?: unknown } = {};
  static getDerivedStateFromError = (error: unknown) => ({ error });
  override render() {
    const { part, dismiss, children } = this.props;
    if (this.state.error === undefined) return children;
    if (!part.failed()) throw this.state.error;
    return (
      <ChunkFailure
        dismiss={dismiss}
        retry={() => {
          part.forget();
          this.setState({ error: undefined });
        }}
      />
    );
  }
}

export function ChunkFailure({ retry, dismiss }: { retry: () => void; dismiss?: (() => void) | undefined }) {
  const [outdated, setOutdated] = useState(false);
  useEffect(() => void isOutdated().then(setOutdated), []);
  const message = outdated
    ? "UWS was updated. Reload the page to use the new version."
    : "This part of the page could not be loaded. Is the server running?";
  return (
    <Failure
      message={message}
      retry={
        <span className="flex gap-2">
          {dismiss && (
            <Button small onClick={dismiss}>
              Close
            </Button>
          )}
          <Button small onClick={outdated ? () => location.reload() : retry}>
            {outdated ? "Reload" : "Retry"}
          </Button>
        </span>
      }
    />
  );
}
