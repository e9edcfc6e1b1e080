// Whose frames are seen, with a stand-in for the element that plays them.

import { expect, test, vi } from "vitest";
import { Curtain } from "../src/curtain.js";

test("a picture stays dark until a frame comes of whom the slot shows", () => {
  const slot = { isShown: false };
  const looks: (() => void)[] = [];
  const screen = { requestVideoFrameCallback: (look: () => void) => looks.push(look) };
  const opened = vi.fn();
  const frame = () => looks.shift()?.();
  const curtain = new Curtain(screen, slot, opened);
  curtain.close();
  curtain.close();
  expect(looks).toHaveLength(1);
  frame();
  frame();
  expect(opened).not.toHaveBeenCalled();
  slot.isShown = true;
  frame();
  expect(opened).toHaveBeenCalledOnce();
  expect(looks).toHaveLength(0);
  slot.isShown = false;
  curtain.close();
  curtain.end();
  frame();
  expect(looks).toHaveLength(0);
});

test("a browser that doesn't tell of frames is asked some times a second", () => {
  vi.useFakeTimers();
  const slot = { isShown: false };
  const opened = vi.fn();
  new Curtain({}, slot, opened).close();
  vi.advanceTimersByTime(1_000);
  expect(opened).not.toHaveBeenCalled();
  slot.isShown = true;
  vi.advanceTimersByTime(100);
  expect(opened).toHaveBeenCalledOnce();
  vi.useRealTimers();
});
