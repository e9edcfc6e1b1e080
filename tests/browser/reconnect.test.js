// A page whose connections break: the room goes on, without a reload.

import assert from "node:assert/strict";
import { after, afterEach, before, beforeEach, describe, test } from "node:test";
import { openBrowser } from "./lib/browser.js";
import { startServer } from "./lib/server.js";
import { joinAs, sleep, untilHears } from "./lib/talker.js";

let server;
let browser;
let speaker;
let listener;

before(async () => {
  server = await startServer();
});
after(() => server?.stop());
beforeEach(async (t) => {
  browser = await openBrowser();
  speaker = await joinAs(browser, server, { room: t.name, name: "speaker", toneHz: 600 });
  listener = await joinAs(browser, server, { room: t.name, name: "listener", toneHz: 1500 });
  await untilHears(listener, [600], [600]);
  await untilHears(speaker, [1500], [1500]);
  for (const page of [speaker.page, listener.page]) {
    await page.evaluate(() => {
      window.comings = [];
      window.room.on("participantjoined", (p) => window.comings.push(`+${p.id}`));
      window.room.on("participantleft", (p) => window.comings.push(`-${p.id}`));
    });
  }
});
afterEach(() => browser?.close());

/** Nobody saw anybody come or go, and both hear each other. */
async function roomIsWhole() {
  await speaker.until(() => window.room.state === "connected");
  await untilHears(listener, [600], [600], 20_000);
  await untilHears(speaker, [1500], [1500], 20_000);
  for (const talker of [speaker, listener]) {
    assert.deepEqual(await talker.page.evaluate(() => window.comings), [], talker.name);
  }
}

describe("a page in a room", () => {
  test("comes back when its WebSocket is killed, and media goes on meanwhile", async () => {
    const before = await speaker.inbound();
    const former = await speaker.page.evaluateHandle(() => window.room.webSocket);
    await speaker.page.evaluate(() => window.room.webSocket.close());
    await speaker.until((socket) => window.room.webSocket !== socket && window.room.state === "connected", former);
    await roomIsWhole();
    const after = await speaker.inbound();
    assert.ok(after.packetsReceived > before.packetsReceived);
    // The resumed session obeys.
    await speaker.call("raiseHand", true);
    await listener.until(() => [...window.room.participants.values()].some((p) => p.handRaised));
  });

  test("gets new ICE credentials without anybody noticing", async () => {
    const credentials = () => speaker.page.evaluate(() =>
      window.room.peerConnection.localDescription.sdp.match(/a=ice-ufrag:(\S+)/)[1]);
    const before = await credentials();
    // What a browser does when the network changes: the next offer has new credentials.
    await speaker.page.evaluate(() => window.room.restartIce());
    await speaker.until((ufrag) => !window.room.peerConnection.localDescription.sdp.includes(ufrag), before);
    await sleep(500);
    await roomIsWhole();
    assert.notEqual(await credentials(), before);
  });

  test("builds another peer connection when the first is lost", async () => {
    const former = await speaker.page.evaluateHandle(() => window.room.peerConnection);
    await speaker.page.evaluate(() => window.room.peerConnection.close());
    await speaker.page.evaluate(() => window.room.webSocket.close());
    await speaker.until((pc) => window.room.peerConnection !== pc, former);
    await roomIsWhole();
  });
});
