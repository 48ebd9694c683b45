import { fetchSigned } from "../../graphql/sessionkey";
import { ApiError } from "../../lib/errors";
import { saveAs } from "../../lib/save";

/** Saves what the server has at a path as a file. A link could not: the browser adds no session key to it. */
export async function download(path: string, name: string) {
  let content: Blob;
  try {
    const answer = await fetchSigned(path);
    if (!answer.ok) {
      const body = await answer.json().catch(() => undefined);
      throw new ApiError(String(body?.errors?.[0]?.message ?? "The server could not send the file."), "INTERNAL", "");
    }
    content = await answer.blob();
  } catch (error) {
    if (error instanceof ApiError) throw error;
    throw new ApiError("The download failed. Is uws still running?", "NETWORK", "");
  }
  saveAs(content, name);
}
