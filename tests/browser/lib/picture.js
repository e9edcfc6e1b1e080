// A page that is in a room through the SDK, has a camera of one colour, and reads the colours of those it watches.

import { joinAs } from "./talker.js";

/** Far apart, also after an encoder with few bits. */
export const COLOURS = { red: [220, 30, 30], green: [30, 170, 60], blue: [30, 60, 220], yellow: [230, 210, 40] };

/** What isn't renewed for so long isn't seen: an element keeps showing its last picture. */
const STALE_MS = 1000;

/**
 * Joins with video. With a `colour` the camera is on; `codec`, such as `video/VP9`, is what it is sent in. Whatever colour
 * was ever seen is written down.
 */
export async function joinWatching(browser, server, { colour, codec = null, sdk = {}, ...options }) {
  const videoCodec = codec?.split("/")[1].toLowerCase();
  const watcher = await joinAs(browser, server, { ...options, sdk: { video: true, ...(codec && { videoCodec }), ...sdk } });
  await watcher.page.evaluate(look, { colours: COLOURS, staleMs: STALE_MS });
  if (colour) await turnOn(watcher, colour);
  return watcher;
}

/** Whether the browser sends it. */
export function sends(page, codec) {
  return page.evaluate((type) => {
    const { codecs } = RTCRtpSender.getCapabilities("video");
    return codecs.some(({ mimeType }) => mimeType === type);
  }, codec);
}

/** Its picture is of another colour from now on. */
export function turnOn(watcher, colour, size = {}) {
  return watcher.page.evaluate(([rgb, frame]) => window.paint(rgb, frame), [COLOURS[colour], size]);
}

export function turnOff(watcher) {
  return watcher.call("setVideoTrack", null);
}

/** The colours that are seen now, by slot; `null` where nothing moves. */
export function seen(watcher) {
  return watcher.page.evaluate(() => window.seen());
}

/** All colours that were ever seen. */
export function everSeen(watcher) {
  return watcher.page.evaluate(() => [...window.everSeen]);
}

/** When each colour was first seen, in ms after the page had the room. */
export function firstSeenMs(watcher) {
  return watcher.page.evaluate(() => window.firstSeenMs);
}

/** Waits until exactly these colours are seen, in whichever slots. Returns how long that took. */
export async function untilSees(watcher, wanted, withinMs = 10_000) {
  const from = Date.now();
  const sorted = JSON.stringify([...wanted].sort());
  let last;
  do {
    last = JSON.stringify((await seen(watcher)).filter((colour) => colour !== null).sort());
    if (last === sorted) return Date.now() - from;
    await new Promise((resolve) => setTimeout(resolve, 50));
  } while (Date.now() - from < withinMs);
  const slots = await watcher.page.evaluate(() => window.room.videoSlots.map(({ participant }) => participant?.name ?? null));
  throw new Error(`${watcher.name} should see ${sorted}, but sees ${last}; in the slots are ${JSON.stringify(slots)}`);
}

/** How high the pictures in the first slot are, how many there were, and for how long it stood still: in all, and at most at once. */
export function pictures(watcher) {
  return watcher.page.evaluate(async () => {
    const report = await window.room.peerConnection.getStats(window.room.videoSlots[0].track);
    const inbound = [...report.values()].find(({ type }) => type === "inbound-rtp");
    return {
      height: inbound?.frameHeight ?? 0,
      frames: inbound?.framesDecoded ?? 0,
      frozenMs: 1_000 * (inbound?.totalFreezesDuration ?? 0),
      longestMs: window.longestStillMs,
    };
  });
}

/** Waits until the pictures in the first slot are so high. Returns how long that took. */
export async function untilHeight(watcher, height, withinMs = 40_000) {
  const from = Date.now();
  let last;
  do {
    last = await pictures(watcher);
    if (last.height === height) return Date.now() - from;
    await new Promise((resolve) => setTimeout(resolve, 50));
  } while (Date.now() - from < withinMs);
  throw new Error(`${watcher.name} should get pictures ${height} high, and gets ${JSON.stringify(last)}`);
}

// Runs in the page.
function look({ colours, staleMs }) {
  const players = new Map();
  // As an application does: it plays the tracks that the slots have now.
  const follow = () => {
    for (const { index, track } of window.room.videoSlots) {
      let player = players.get(index);
      if (!player) {
        const element = Object.assign(document.createElement("video"), { muted: true, autoplay: true });
        document.body.append(element);
        player = { element, frames: 0, at: 0, colour: null };
        players.set(index, player);
      }
      if (player.element.srcObject?.getTracks()[0] === track) continue;
      player.element.srcObject = new MediaStream([track]);
      player.element.play();
      player.frames = 0;
    }
  };
  window.room.on("video", follow);
  follow();

  // Of the first slot.
  window.longestStillMs = 0;
  let shownAt = null;
  const note = (now) => {
    if (shownAt !== null) window.longestStillMs = Math.max(window.longestStillMs, now - shownAt);
    shownAt = now;
    players.get(0).element.requestVideoFrameCallback(note);
  };
  players.get(0)?.element.requestVideoFrameCallback(note);

  const probe = new OffscreenCanvas(8, 8).getContext("2d", { willReadFrequently: true });
  const colourOf = (element) => {
    probe.drawImage(element, 0, 0, 8, 8);
    const [r, g, b] = probe.getImageData(4, 4, 1, 1).data;
    const distance = ([r2, g2, b2]) => Math.hypot(r - r2, g - g2, b - b2);
    const [[nearest, rgb]] = Object.entries(colours).sort(([, one], [, other]) => distance(one) - distance(other));
    return distance(rgb) < 80 ? nearest : `rgb(${r} ${g} ${b})`;
  };
  const from = performance.now();
  window.everSeen = new Set();
  window.firstSeenMs = {};
  setInterval(() => {
    for (const player of players.values()) {
      const { totalVideoFrames } = player.element.getVideoPlaybackQuality();
      if (totalVideoFrames === player.frames || player.element.videoWidth === 0) continue;
      Object.assign(player, { frames: totalVideoFrames, at: performance.now(), colour: colourOf(player.element) });
      window.everSeen.add(player.colour);
      window.firstSeenMs[player.colour] ??= performance.now() - from;
    }
  }, 100);
  window.seen = () =>
    window.room.videoSlots.map(({ index }) => {
      const { at, colour } = players.get(index);
      return performance.now() - at < staleMs ? colour : null;
    });

  let painting;
  window.paint = async (rgb, { width = 160, height = 90, fps = 10, detail = false } = {}) => {
    clearInterval(painting);
    const canvas = Object.assign(document.createElement("canvas"), { width, height });
    const pen = canvas.getContext("2d");
    let n = 0;
    const draw = () => {
      pen.fillStyle = `rgb(${rgb})`;
      pen.fillRect(0, 0, width, height);
      pen.fillStyle = `rgb(${rgb.map((part) => part / 2)})`;
      // What takes many bits: dots that aren't where they were, around the middle.
      for (let dots = detail ? 4_000 : 0; dots > 0; dots--) {
        const [x, y] = [Math.random(), Math.random()];
        if (Math.hypot(x - 0.5, y - 0.5) > 0.2) pen.fillRect(x * width, y * height, 6, 3);
      }
      // Something moves, at the edge.
      pen.fillStyle = "white";
      pen.fillRect((n++ * 8) % width, 0, 8, height / 10);
    };
    draw();
    painting = setInterval(draw, 1000 / fps);
    const [track] = canvas.captureStream(fps).getVideoTracks();
    await window.room.setVideoTrack(track);
  };
}
