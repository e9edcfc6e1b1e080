// A page whose connections break: the room goes on, without a reload.

import assert from "node:assert/strict";
import { after, afterEach, before, beforeEach, describe, test } from "node:test";
import { openBrowser } from "./lib/browser.js";
import { startServer } from "./lib/server.js";
import { joinAs, untilHears } from "./lib/talker.js";

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

  test("restarts ICE after an outage, without anybody noticing", async () => {
    const before = await ufrag();
    server.freeze();
    try {
      await speaker.until(() => window.room.state === "reconnecting");
      // The page doesn't wait for the network to be back: the offer with new credentials is under way.
      await speaker.until((old) => !window.room.peerConnection.localDescription.sdp.includes(old), before);
    } finally {
      server.thaw();
    }
    await roomIsWhole();
    assert.notEqual(await ufrag(), before);
  });

  test("builds another peer connection when the first is lost", async () => {
    const former = await speaker.page.evaluateHandle(() => window.room.peerConnection);
    await speaker.page.evaluate(() => {
      window.room.peerConnection.close();
      window.dispatchEvent(new Event("online"));
    });
    await speaker.until((pc) => window.room.peerConnection !== pc, former);
    await roomIsWhole();
  });
});

/** The ICE credentials that the speaker's page offered last. */
function ufrag() {
  return speaker.page.evaluate(
    () => window.room.peerConnection.localDescription.sdp.match(/a=ice-ufrag:(\S+)/)[1],
  );
}
