// Sizes of pictures in real browsers: nobody gets larger ones than they look at, and nothing is sent that nobody looks at.

import assert from "node:assert/strict";
import { after, afterEach, before, beforeEach, describe, test } from "node:test";
import { openBrowser } from "./lib/browser.js";
import { joinWatching, pictures, sends, turnOn, untilHeight, untilSees } from "./lib/picture.js";
import { startServer } from "./lib/server.js";

let server;
let browser;

before(async () => {
  server = await startServer();
});
after(() => server?.stop());
beforeEach(async () => {
  browser = await openBrowser();
});
afterEach(() => browser?.close());

const enter = (room, name, options = {}) => joinWatching(browser, server, { room, name, ...options });
/** In three sizes, none of which takes a machine of two cores long to encode. */
const LARGE = { width: 1024, height: 576 };
const [SMALL_HEIGHT, MIDDLE_HEIGHT, LARGE_HEIGHT] = [144, 288, 576];

/** How high the pictures are that a camera sends, the smallest first; those that rest aren't there. */
const sent = (camera) =>
  camera.page.evaluate(async () => {
    const sum = async () => {
      const report = await window.room.peerConnection.getStats();
      const sending = [...report.values()].filter(({ type, kind }) => type === "outbound-rtp" && kind === "video");
      return new Map(sending.map(({ ssrc, framesSent, frameHeight }) => [ssrc, { framesSent, frameHeight }]));
    };
    const before = await sum();
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    const after = [...(await sum())].filter(([ssrc, it]) => it.framesSent > (before.get(ssrc)?.framesSent ?? 0));
    return after.map(([, { frameHeight }]) => frameHeight).sort((one, other) => one - other);
  });

async function untilSends(camera, heights, withinMs = 40_000) {
  const from = Date.now();
  let last;
  do {
    last = await sent(camera);
    if (JSON.stringify(last) === JSON.stringify(heights)) return;
  } while (Date.now() - from < withinMs);
  throw new Error(`${camera.name} should send pictures ${heights} high, and sends ${last}`);
}

describe("simulcast", () => {
  for (const videoCodec of ["vp8", "h264"]) {
    test(`${videoCodec}: each gets the size that they look at`, async (t) => {
      const ada = await enter(`sizes-${videoCodec}`, "ada", { sdk: { videoCodec } });
      if (!(await sends(ada.page, `video/${videoCodec.toUpperCase()}`))) return t.skip("this browser doesn't send it");
      await turnOn(ada, "red", LARGE);
      const [eve, ben] = [await enter(`sizes-${videoCodec}`, "eve"), await enter(`sizes-${videoCodec}`, "ben")];
      await ben.call("view", { 0: 100 });
      await Promise.all([untilSees(eve, ["red"]), untilSees(ben, ["red"])]);
      await untilHeight(ben, SMALL_HEIGHT);
      await untilHeight(eve, LARGE_HEIGHT);
      await eve.call("view", { 0: 260 });
      const downMs = await untilHeight(eve, MIDDLE_HEIGHT);
      await eve.call("view", { 0: 500 });
      const upMs = await untilHeight(eve, LARGE_HEIGHT);
      t.diagnostic(`smaller pictures after ${downMs} ms, larger ones after ${upMs} ms`);
      assert.equal((await pictures(ben)).height, SMALL_HEIGHT);
      // Out of sight nothing comes.
      await eve.call("view", { 0: 0 });
      await eve.until(() => window.seen()[0] === null);
      const { frozenMs } = await pictures(eve);
      assert.ok(frozenMs < 1_000, `it stood still for ${frozenMs} ms`);
      await eve.call("view", {});
      await untilSees(eve, ["red"]);
    });
  }

  test("what nobody looks at isn't sent", async () => {
    const ada = await enter("rests", "ada");
    await turnOn(ada, "red", LARGE);
    const eve = await enter("rests", "eve");
    await untilHeight(eve, LARGE_HEIGHT);
    await untilSends(ada, [SMALL_HEIGHT, MIDDLE_HEIGHT, LARGE_HEIGHT]);
    await eve.call("view", { 0: 200 });
    await untilSends(ada, [SMALL_HEIGHT, MIDDLE_HEIGHT]);
    await eve.call("view", { 0: 100 });
    await untilSends(ada, [SMALL_HEIGHT]);
    await eve.call("view", { 0: 576 });
    await untilHeight(eve, LARGE_HEIGHT);
  });
});

describe("scalable coding", () => {
  for (const videoCodec of ["vp9", "av1"]) {
    test(`${videoCodec}: each gets the size that they look at`, async (t) => {
      const ada = await enter(`scales-${videoCodec}`, "ada", { sdk: { videoCodec } });
      if (!(await sends(ada.page, `video/${videoCodec.toUpperCase()}`))) return t.skip("this browser doesn't send it");
      await turnOn(ada, "red", LARGE);
      const eve = await enter(`scales-${videoCodec}`, "eve");
      await untilSees(eve, ["red"]);
      await untilHeight(eve, LARGE_HEIGHT);
      await eve.call("view", { 0: 260 });
      const downMs = await untilHeight(eve, MIDDLE_HEIGHT);
      await eve.call("view", { 0: 130 });
      await untilHeight(eve, SMALL_HEIGHT);
      await eve.call("view", { 0: 576 });
      const upMs = await untilHeight(eve, LARGE_HEIGHT);
      const { frozenMs } = await pictures(eve);
      t.diagnostic(`smaller pictures after ${downMs} ms, larger ones after ${upMs} ms; it stood still for ${frozenMs} ms`);
      await untilSees(eve, ["red"]);
    });
  }
});
