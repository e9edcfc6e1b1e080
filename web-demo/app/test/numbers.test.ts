// What stands over a picture.

import { expect, test } from "vitest";
import { linesOfReceived, linesOfSent } from "../src/numbers.js";

test("of a picture that is received: its size, its rate and what was lost", () => {
  const stats = {
    index: 0,
    participant: "ann",
    origin: "camera" as const,
    bitrateBps: 481_300,
    lossRatio: 0.0123,
    framesPerSecond: 24.6,
    width: 640,
    height: 360,
    freezes: 0,
    freezeMs: 0,
  };
  expect(linesOfReceived(stats)).toEqual(["640×360 · 25 fps", "481 kbit/s · 1.2 % lost"]);
  expect(linesOfReceived({ ...stats, width: 0, height: 0 })[0]).toBe("– · 25 fps");
});

test("of one's own picture: the sizes that are sent now, the largest first", () => {
  const size = (rid: string, width: number, framesPerSecond: number) => ({
    origin: "camera" as const,
    rid,
    bitrateBps: width * 1000,
    framesPerSecond,
    width,
    height: (width * 9) / 16,
  });
  expect(linesOfSent([size("l", 320, 30), size("m", 640, 30), size("h", 1280, 0)])).toEqual([
    "640×360 · 30 fps · 640 kbit/s",
    "320×180 · 30 fps · 320 kbit/s",
  ]);
});
