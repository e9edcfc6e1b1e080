// A viewer whose network gets narrow, and wide again: pictures get smaller and larger, and the sound goes on. Runs in a network
// namespace.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { openBrowser } from "../lib/browser.js";
import { narrow, openNetwork } from "../lib/network.js";
import { joinWatching, pictures, turnOn, untilHeight } from "../lib/picture.js";
import { startServer } from "../lib/server.js";
import { sleep } from "../lib/talker.js";

const SECRET = "a-secret-of-the-tests-that-is-long-enough";
/** How long a picture takes to follow depends on what else the machine does: this is no measurement. */
const WITHIN_MS = 40_000;

let server;
let network;
let here;
let there;

before(async () => {
  const bound = ["--http", "10.77.0.1:0", "--media-udp", "10.77.0.1:0", "--media-tcp", "off"];
  server = await startServer(...bound, "--secret", SECRET, "--demo");
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

const enter = (browser, room, name, options = {}) => joinWatching(browser, server, { room, name, ...options });

// A queue as a router has that is set up well, and one as many have: in that, what tells of the change waits too.
for (const queueMs of [100, 400]) {
  test(`pictures go down with the network and come back with it, and the sound goes on: a queue of ${queueMs} ms`, async (t) => {
    const room = `narrow-${queueMs}`;
    const ada = await enter(here, room, "ada", { toneHz: 700 });
    await turnOn(ada, "red", { width: 1024, height: 576, fps: 20, detail: true });
    const eve = await enter(there, room, "eve", { role: "listener" });
    await untilHeight(eve, 576, WITHIN_MS);
    await sleep(3_000);
    await eve.page.evaluate(() => (window.longestStillMs = 0));
    const soundBefore = await eve.inbound();
    const from = Date.now();
    narrow(300, queueMs);
    const downMs = await untilHeight(eve, 144, WITHIN_MS);
    await sleep(5_000);
    const narrowed = await pictures(eve);
    narrow(null);
    const upMs = await untilHeight(eve, 576, WITHIN_MS);
    const sound = await eve.inbound();
    const concealedMs = (sound.audibleConcealed - soundBefore.audibleConcealed) / 48;
    t.diagnostic(`small after ${downMs} ms, large ${upMs} ms after it was wide again`);
    t.diagnostic(`stood still for ${Math.round(narrowed.longestMs)} ms at most; ${Math.round(concealedMs)} ms of the sound concealed`);
    assert.ok(concealedMs < (Date.now() - from) / 5, `of the sound ${concealedMs} ms are missing`);
    await Promise.all([ada.page.close(), eve.page.close()]);
  });
}
