// What a picture is sent in, by its size, its codec and what is watched.

import { expect, test } from "vitest";
import { ALL_LAYERS, cameraIn, encodingsOfCamera, ofScreen } from "../src/encodings.js";
import { fakeTrack } from "./fakes.js";

const of = (width: number, height: number) => fakeTrack({ width, height });

function sentIn(codec: "vp8" | "h264" | "vp9" | "av1", track = of(1280, 720), layers = ALL_LAYERS) {
  const encodings = cameraIn(codec)(track, encodingsOfCamera(codec), layers);
  return encodings.filter(({ active }) => active !== false);
}

test("VP8 and H.264 are sent in three sizes, smallest first, VP8 each at three rates", () => {
  expect(sentIn("vp8")).toEqual([
    { rid: "l", active: true, maxBitrate: 150_000, scaleResolutionDownBy: 4, scalabilityMode: "L1T3" },
    { rid: "m", active: true, maxBitrate: 500_000, scaleResolutionDownBy: 2, scalabilityMode: "L1T3" },
    { rid: "h", active: true, maxBitrate: 1_500_000, scaleResolutionDownBy: 1, scalabilityMode: "L1T3" },
  ]);
  expect(sentIn("h264").map(({ rid, scalabilityMode }) => [rid, scalabilityMode])).toEqual([
    ["l", undefined],
    ["m", undefined],
    ["h", undefined],
  ]);
});

test("VP9 and AV1 are sent in one stream of three sizes, or of as many as are watched", () => {
  for (const codec of ["vp9", "av1"] as const) {
    expect(sentIn(codec)).toEqual([
      { maxBitrate: 1_500_000, scaleResolutionDownBy: 1, scalabilityMode: "L3T3_KEY" },
    ]);
    expect(sentIn(codec, of(1280, 720), 2)).toEqual([
      { maxBitrate: 500_000, scaleResolutionDownBy: 2, scalabilityMode: "L2T3_KEY" },
    ]);
    expect(sentIn(codec, of(1280, 720), 1)).toEqual([
      { maxBitrate: 150_000, scaleResolutionDownBy: 4, scalabilityMode: "L1T3" },
    ]);
  }
});

test("what is larger than is watched is made smaller, upright or lying", () => {
  for (const track of [of(1920, 1080), of(1080, 1920)]) {
    expect(sentIn("vp8", track).map(({ scaleResolutionDownBy }) => scaleResolutionDownBy)).toEqual([
      6, 3, 1.5,
    ]);
  }
});

test("a smaller picture has fewer layers, and the last of them is always the whole of it", () => {
  const scales = (width: number, height: number) =>
    sentIn("vp8", of(width, height)).map(({ scaleResolutionDownBy }) => scaleResolutionDownBy);
  expect(scales(960, 540)).toEqual([4, 2, 1]);
  expect(scales(640, 480)).toEqual([2, 1]);
  expect(scales(480, 270)).toEqual([2, 1]);
  expect(scales(320, 180)).toEqual([1]);
  expect(sentIn("vp9", of(640, 360))[0]?.scalabilityMode).toBe("L2T3_KEY");
  expect(sentIn("vp9", of(160, 90))[0]?.scalabilityMode).toBe("L1T3");
});

test("of the layers those that are watched are sent, but one always", () => {
  const rids = (layers: number, track?: MediaStreamTrack) =>
    sentIn("vp8", track, layers).map(({ rid }) => rid);
  expect(rids(2)).toEqual(["l", "m"]);
  expect(rids(1)).toEqual(["l"]);
  expect(rids(0)).toEqual(["l"]);
  expect(rids(9)).toEqual(["l", "m", "h"]);
  expect(rids(2, of(640, 360))).toEqual(["l", "m"]);
});

test("where one encoding is left, it is the whole picture", () => {
  expect(cameraIn("h264")(of(1920, 1080), 1, 1)).toEqual([
    { maxBitrate: 1_500_000, scaleResolutionDownBy: 1.5 },
  ]);
});

test("a screen is sent once, and stays as large as it can be read", () => {
  expect(ofScreen(of(1920, 1080), 1, ALL_LAYERS)).toEqual([
    { maxBitrate: 2_500_000, maxFramerate: 15, scaleResolutionDownBy: 1 },
  ]);
  expect(ofScreen(of(3840, 2160), 1, ALL_LAYERS)[0]?.scaleResolutionDownBy).toBe(1.5);
});
