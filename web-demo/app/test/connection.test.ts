// What is said of the connection.

import { expect, test } from "vitest";
import { type Facts, said } from "../src/connection.js";

const FINE: Facts = { state: "connected", signalling: true, media: true, mediaStood: true, closesInMs: null };
const SILENCE = { banner: "", countdown: "", notice: null };

test("the banner is for signalling that broke", () => {
  expect(said(FINE)).toEqual(SILENCE);
  expect(said({ ...FINE, state: "reconnecting", signalling: false, media: false })).toEqual({
    ...SILENCE,
    banner: "The connection broke. Reconnecting…",
  });
});

test("media that never flowed did not break, media that did is interrupted", () => {
  const silent: Facts = { ...FINE, state: "reconnecting", media: false };
  expect(said({ ...silent, mediaStood: false })).toEqual(SILENCE);
  expect(said(silent).notice).toMatch(/interrupted/);
  expect(said(silent).banner).toBe("");
});

test("the end of the server is counted down", () => {
  expect(said({ ...FINE, closesInMs: 9_001 })).toMatchObject({
    banner: "The server is going to stop",
    countdown: "in 10 s",
  });
  expect(said({ ...FINE, closesInMs: 9_000 }).countdown).toBe("in 9 s");
  expect(said({ ...FINE, closesInMs: -5 }).countdown).toBe("now");
});
