// What a picture is sent in: a track, a codec, and how many layers are watched come in, the encodings of a sender go out,
// smallest first. A camera has up to three sizes, each half of the next: as encodings of their own (simulcast), or in one
// stream where the codec can do that (SVC).

import type { VideoCodec } from "./api.js";

/** Layers that are watched, before anybody said how many are. */
export const ALL_LAYERS = Number.POSITIVE_INFINITY;

/** As of webrtc-svc, which TypeScript doesn't know. */
export interface Encoding extends RTCRtpEncodingParameters {
  scalabilityMode?: string;
}

/** The encodings of a sender that has room for `count` of them. */
export type Recipe = (track: MediaStreamTrack | null, count: number, layersWatched: number) => Encoding[];

const RIDS = ["l", "m", "h"];
/** Of a picture of one, two and three layers, smallest first. Much more than the largest a phone neither takes nor shows. */
const BITRATES_BPS = [[250_000], [150_000, 700_000], [150_000, 500_000, 1_500_000]] as const;
const BITRATE_BPS_MAX = 1_500_000;
const CAMERA_MAX = { longSide: 1280, shortSide: 720 };
/** Of smaller pictures Chromium leaves the last layers out, which are the largest. */
const TWO_LAYERS_FROM_PIXELS = 480 * 270;
const THREE_LAYERS_FROM_PIXELS = 960 * 540;

/** A screen is to be read: as large as it is, within reason, and rather sharp than smooth. */
const SCREEN_MAX = { longSide: 2560, shortSide: 1600 };
const SCREEN: Encoding = { maxBitrate: 2_500_000, maxFramerate: 15 };

function hasLayersInOneStream(codec: VideoCodec): boolean {
  return codec === "vp9" || codec === "av1";
}

/** How many encodings a camera's sender is made with. Some of them rest while the picture is a small one. */
export function encodingsOfCamera(codec: VideoCodec): number {
  return hasLayersInOneStream(codec) ? 1 : RIDS.length;
}

export function cameraIn(codec: VideoCodec): Recipe {
  return (track, count, layersWatched) => {
    const layers = layersOf(track);
    const bitrates = BITRATES_BPS[layers - 1] ?? [];
    const sent = Math.min(layers, Math.max(1, layersWatched));
    const shrink = excessOf(track, CAMERA_MAX);
    if (hasLayersInOneStream(codec)) {
      const scaleResolutionDownBy = shrink * 2 ** (layers - sent);
      return [{ maxBitrate: bitrates[sent - 1], scaleResolutionDownBy, scalabilityMode: modeOf(sent) }];
    }
    const inTime = codec === "vp8" ? { scalabilityMode: modeOf(1) } : {};
    // A server that doesn't know layers left one of them.
    if (count === 1) return [{ maxBitrate: BITRATE_BPS_MAX, scaleResolutionDownBy: shrink, ...inTime }];
    return RIDS.slice(0, count).map((rid, layer) => ({
      rid,
      active: layer < sent,
      maxBitrate: bitrates[layer] ?? BITRATE_BPS_MAX,
      scaleResolutionDownBy: shrink * 2 ** Math.max(0, layers - 1 - layer),
      ...inTime,
    }));
  };
}

export const ofScreen: Recipe = (track) => [
  { ...SCREEN, scaleResolutionDownBy: excessOf(track, SCREEN_MAX) },
];

/** The name of webrtc-svc for so many sizes, each at three rates; only their keyframes depend on each other. */
function modeOf(layers: number): string {
  return layers > 1 ? `L${layers}T3_KEY` : "L1T3";
}

/** A picture of unknown size may be a large one. */
function layersOf(track: MediaStreamTrack | null): number {
  const { width = 0, height = 0 } = track?.getSettings() ?? {};
  const pixels = width * height || THREE_LAYERS_FROM_PIXELS;
  if (pixels >= THREE_LAYERS_FROM_PIXELS) return 3;
  return pixels >= TWO_LAYERS_FROM_PIXELS ? 2 : 1;
}

/** By how much it is too large. Upright pictures are as large as lying ones. */
function excessOf(track: MediaStreamTrack | null, max: { longSide: number; shortSide: number }): number {
  const { width = 0, height = 0 } = track?.getSettings() ?? {};
  return Math.max(1, Math.max(width, height) / max.longSide, Math.min(width, height) / max.shortSide);
}
