// @vitest-environment happy-dom
import { afterEach, expect, it, vi } from "vitest";
import { listenForKeys } from "../src/app/keys";
import { dialogs } from "../src/model/dialogs";

const navigate = vi.fn(() => Promise.resolve());
const end = () => {
  dialogs.close();
  navigate.mockClear();
};
afterEach(end);

/** Presses keys at these times, in ms since the page began. */
function press(...keys: [key: string, at: number][]) {
  const stop = listenForKeys({ navigate } as never);
  for (const [key, at] of keys) {
    const event = new KeyboardEvent("keydown", { key, bubbles: true });
    Object.defineProperty(event, "timeStamp", { value: at });
    document.body.dispatchEvent(event);
  }
  stop();
}

it("takes a page's first key for itself, however early it comes", () => {
  press(["n", 300]);
  expect(dialogs.get()).toMatchObject({ type: "launch" });
  expect(navigate).not.toHaveBeenCalled();
});

it("takes a letter soon after g as a place, and later for itself", () => {
  press(["g", 300], ["n", 900]);
  expect(navigate).toHaveBeenCalledExactlyOnceWith({ to: "/nodes" });
  expect(dialogs.get()).toBeNull();
  end();
  press(["g", 300], ["n", 1400]);
  expect(navigate).not.toHaveBeenCalled();
  expect(dialogs.get()).toMatchObject({ type: "launch" });
});
