// Viewers whose network loses packets, and those who are far away: they see and hear all the same. Runs in a network namespace.

import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";
import { openBrowser } from "../lib/browser.js";
import { openLongWay, openNetwork } from "../lib/network.js";
import { joinWatching, pictures, turnOn, untilHeight } from "../lib/picture.js";
import { startServer } from "../lib/server.js";
import { sleep } from "../lib/talker.js";

const SECRET = "a-secret-of-the-tests-that-is-long-enough";
/** The server has two workers, with a port each. */
const [PORT, PUBLIC_PORT, PORTS] = [47_100, 47_200, 2];
const WATCHED_MS = 10_000;

let network;
let here;
let there;
let close = [];

before(async () => {
  here = await openBrowser({ loopback: false });
  network = await openNetwork();
  network.setAddress("10.77.0.2");
  there = await openBrowser({ loopback: false, program: network.browser });
});
afterEach(async () => {
  for (const closing of close.splice(0).reverse()) await closing();
});
after(async () => {
  await Promise.all([here?.close(), there?.close()]);
  await network?.close();
});

/** A server that is reached by a way of a kind. */
async function serve(kind) {
  const way = await openLongWay({ address: "10.77.0.1", publicPort: PUBLIC_PORT, port: PORT, ports: PORTS, ...kind });
  close.push(() => way.close());
  const media = ["--media-udp", `127.0.0.1:${PORT}`, "--media-udp-public", `10.77.0.1:${PUBLIC_PORT}`, "--media-tcp", "off"];
  const server = await startServer("--http", "10.77.0.1:0", "--secret", SECRET, "--demo", ...media);
  close.push(() => server.stop());
  return server;
}

/** One who is seen, and one who watches from afar once there is a picture of full size. */
async function enter(server) {
  const ada = await joinWatching(here, server, { room: "far", name: "ada", toneHz: 700 });
  close.push(() => ada.page.close());
  await turnOn(ada, "red", { width: 1024, height: 576, detail: true });
  const eve = await joinWatching(there, server, { room: "far", name: "eve", role: "listener" });
  close.push(() => eve.page.close());
  const untilLargeMs = await untilHeight(eve, 576);
  return { ada, eve, untilLargeMs };
}

/** What is seen and heard for a while. */
async function watch(eve) {
  const [pictureBefore, soundBefore] = [await pictures(eve), await eve.inbound()];
  await sleep(WATCHED_MS);
  const [picture, sound] = [await pictures(eve), await eve.inbound()];
  return {
    height: picture.height,
    frames: picture.frames - pictureBefore.frames,
    frozenMs: Math.round(picture.frozenMs - pictureBefore.frozenMs),
    lost: sound.packetsLost - soundBefore.packetsLost,
    concealedMs: Math.round((sound.audibleConcealed - soundBefore.audibleConcealed) / 48),
  };
}

test("of what is lost pictures are sent again, and sound is concealed", async (t) => {
  const { eve } = await enter(await serve({ lostOneOf: 20 }));
  const got = await watch(eve);
  t.diagnostic(`one of twenty lost: ${JSON.stringify(got)}`);
  assert.ok(got.lost > 5, "packets were lost");
  assert.ok(got.concealedMs < WATCHED_MS / 10, `${got.concealedMs} ms of the sound are missing`);
  assert.ok(got.frames > WATCHED_MS / 200 && got.frozenMs < WATCHED_MS / 3, "pictures go on");
  assert.equal(got.height, 576, "and are as large as before: the network is as wide as it was");
});

test("who is 200 ms away sees and hears as those who are near", async (t) => {
  const { eve, untilLargeMs } = await enter(await serve({ delayMs: 100 }));
  const got = await watch(eve);
  t.diagnostic(`large after ${untilLargeMs} ms; ${JSON.stringify(got)}`);
  assert.ok(got.concealedMs < WATCHED_MS / 50, `${got.concealedMs} ms of the sound are missing`);
  assert.ok(got.frames > WATCHED_MS / 200 && got.frozenMs < WATCHED_MS / 3, "pictures go on");
  assert.equal(got.height, 576);
});
