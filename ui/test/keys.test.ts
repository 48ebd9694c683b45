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
  pressOn(document.body, ...keys);
}

function pressOn(target: Element, ...keys: [key: string, at: number][]) {
  const stop = listenForKeys({ navigate } as never);
  for (const [key, at] of keys) {
    const event = new KeyboardEvent("keydown", { key, bubbles: true });
    Object.defineProperty(event, "timeStamp", { value: at });
    target.dispatchEvent(event);
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

it.each([
  [
    "the heading of the detail removes the selected service",
    "/services/s-1",
    "<h2></h2>",
    { type: "remove", id: "s-1" },
  ],
  [
    "a row removes that row's service",
    "/databases/s-1",
    '<div data-row="s-2"><a></a></div>',
    { type: "remove", id: "s-2" },
  ],
  ["a list without a selection does nothing", "/services", "<h1></h1>", null],
  ["another page does nothing", "/access/tokens", "<h1></h1>", null],
  ["a text field does nothing", "/services/s-1", "<input>", null],
])("Delete on %s", (_, path, html, opened) => {
  history.replaceState(null, "", path);
  document.body.innerHTML = html;
  pressOn(document.body.querySelector("a, h1, h2, input") as Element, ["Delete", 0]);
  expect(dialogs.get()).toEqual(opened);
});
