// A viewer whose network gets narrow, and wide again: pictures get smaller and larger, and the sound doesn't suffer. Runs in a network
// namespace.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { openBrowser } from "../lib/browser.js";
import { narrow, openNetwork } from "../lib/network.js";
import { joinWatching, pictures, turnOn, untilHeight } from "../lib/picture.js";
import { startServer } from "../lib/server.js";
import { sleep } from "../lib/talker.js";

let server;
let network;
let here;
let there;

before(async () => {
  const bound = [/*t*/"--http", "10.77.0.1:0", "--media-udp", "10.77.0.1:0", "--media-tcp", "off"];
  server = await startServer(...bound, "--log", "warn,tercet::media::plane::layers=trace,str0m::bwe_::probe=trace,str0m::pacer=trace,str0m::bwe_::alr_detector=trace", "--secret", "a-secret-of-the-tests-that-is-long-enough", "--demo");
  here = await openBrowser({ loopback: false });
  network = await openNetwork();
  network.setAddress("10.77.0.2");
  there = await openBrowser({ loopback: false, program: network.browser });
});
after(async () => {
  await Promise.all([here?.close(), there?.close()]);
  await network?.close();
  await server?.stop();
});

const enter = (browser, name, options = {}) => joinWatching(browser, server, { room: "narrow", name, ...options });

/** The rate at which the server sends, as the viewer measures it, in kbit/s. */
const watchHeights = (watcher) =>
  watcher.page.evaluate(() => {
    window.heights = [];
    const from = performance.now();
    setInterval(async () => {
      const report = await window.room.peerConnection.getStats(window.room.videoSlots[0].track);
      const inbound = [...report.values()].find(({ type }) => type === "inbound-rtp");
      window.heights.push({
        s: ((performance.now() - from) / 1_000).toFixed(1),
        height: inbound?.frameHeight ?? 0,
        fps: inbound?.framesPerSecond ?? 0,
        kB: Math.round((inbound?.bytesReceived ?? 0) / 1_000),
      });
    }, 500);
  });

test("pictures go down with the network and come back with it, and the sound goes on", async (t) => {
  const ada = await enter(here, "ada", { toneHz: 700 });
  await turnOn(ada, "red", { width: 1280, height: 720, detail: true });
  const eve = await enter(there, "eve", { role: "listener" });
  await untilHeight(eve, 720);
  await watchHeights(eve);
  await sleep(5_000);
  const [before, soundBefore] = [await pictures(eve), await eve.inbound()];
  narrow(300);
  const downMs = await untilHeight(eve, 180);
  await sleep(8_000);
  const narrowed = await pictures(eve);
  narrow(null);
  const upMs = await untilHeight(eve, 720, 30_000).catch((error) => error.message);
  const sound = await eve.inbound();
  const concealedMs = (sound.audibleConcealed - soundBefore.audibleConcealed) / 48;
  const lost = sound.packetsLost - soundBefore.packetsLost;
  t.diagnostic(`small after ${downMs} ms, large ${upMs} ms after it was wide again`);
  t.diagnostic(`stood still for ${narrowed.frozenMs - before.frozenMs} ms; of the sound ${lost} packets were lost, ${concealedMs.toFixed(0)} ms concealed`);
  t.diagnostic(JSON.stringify(await eve.page.evaluate(() => window.heights)));
});
