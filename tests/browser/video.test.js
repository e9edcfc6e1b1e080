// Cameras in real browsers: who sees whom, told by the colour of the pictures.

import assert from "node:assert/strict";
import { after, afterEach, before, beforeEach, describe, test } from "node:test";
import { openBrowser } from "./lib/browser.js";
import { everSeen, firstSeenMs, joinWatching, seen, sends, turnOff, turnOn, untilSees } from "./lib/picture.js";
import { startServer, startServerWith } from "./lib/server.js";
import { sleep } from "./lib/talker.js";

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
const first = async (watcher) => (await seen(watcher))[0];
const names = (watcher) =>
  watcher.page.evaluate(() => window.room.videoSlots.map(({ participant }) => participant?.name ?? null));

describe("a room with cameras", () => {
  test("each sees the others and never itself, one who comes later too", async (t) => {
    const ada = await enter("seen", "ada", { colour: "red" });
    const ben = await enter("seen", "ben", { colour: "green" });
    const eve = await enter("seen", "eve", { role: "listener" });
    await untilSees(ada, ["green"]);
    await untilSees(ben, ["red"]);
    await untilSees(eve, ["red", "green"]);

    const cy = await enter("seen", "cy", { colour: "blue" });
    await untilSees(cy, ["red", "green"]);
    // When the room is had the connection has yet to stand.
    const { red, green } = await firstSeenMs(cy);
    t.diagnostic(`a third sees the others ${red.toFixed(0)} and ${green.toFixed(0)} ms after it has the room`);
    assert.ok(Math.max(red, green) < 2_000, `${red}, ${green} ms`);
    await untilSees(ada, ["green", "blue"]);
    await untilSees(eve, ["red", "green", "blue"]);

    await sleep(1_000);
    assert.deepEqual((await everSeen(ada)).includes("red"), false);
    assert.deepEqual((await everSeen(ben)).includes("green"), false);
    assert.deepEqual((await everSeen(cy)).includes("blue"), false);
    // Each packet says whose picture it is.
    const named = await eve.page.evaluate(() => {
      const receivers = new Map(window.room.peerConnection.getReceivers().map((r) => [r.track, r]));
      const taken = window.room.videoSlots.filter(({ participant }) => participant);
      return taken.map(({ track, participant }) => {
        const csrcs = receivers.get(track).getContributingSources().map(({ source }) => source);
        return csrcs.includes(participant.cameraSource);
      });
    });
    assert.deepEqual(named, [true, true, true]);
    for (const watcher of [ada, ben, cy, eve]) assert.equal(await watcher.page.evaluate(() => window.negotiations), 0);
  });

  test("a camera is turned off and on, and a moderator turns one off", async () => {
    const ada = await enter("off", "ada");
    const ben = await enter("off", "ben", { colour: "green" });
    await untilSees(ada, ["green"]);
    const id = await ben.id();
    const publishes = (who) => window.room.participants.get(who)?.tracks.some(({ origin }) => origin === "camera");
    await ada.until(publishes, id);

    // Without a word of it the server notices after three seconds.
    await turnOff(ben);
    await ada.until(() => window.room.videoSlots.every(({ participant }) => participant === null));
    assert.equal(await ada.page.evaluate(publishes, id), false);
    await turnOn(ben, "blue");
    await untilSees(ada, ["blue"]);

    await ben.call("muteCamera", true);
    await ada.until(() => window.room.videoSlots.every(({ participant }) => participant === null));
    await untilSees(ada, []);
    await ben.call("muteCamera", false);
    await untilSees(ada, ["blue"]);

    // The first in a room is its moderator.
    await ada.call("muteParticipant", id, { track: "camera" });
    await ben.until(() => window.room.me.cameraMuted && !window.room.videoTrack.enabled && !window.room.me.muted);
    await untilSees(ada, []);
    assert.equal(await ada.page.evaluate(publishes, id), false);
    await ben.call("muteCamera", false);
    await untilSees(ada, ["blue"]);
    assert.equal((await everSeen(ada)).some((colour) => colour.startsWith("rgb")), false, `${await everSeen(ada)}`);
  });

  test("one sees first whoever speaks, or whom one watches", async () => {
    const ada = await enter("watch", "ada", { colour: "red", toneHz: 500, gain: 0 });
    const ben = await enter("watch", "ben", { colour: "green", toneHz: 900, gain: 0 });
    const eve = await enter("watch", "eve", { role: "listener" });
    const cy = await enter("watch", "cy", { colour: "blue", role: "speaker" });
    await untilSees(eve, ["red", "green", "blue"]);
    const untilFirst = (watcher, colour) => watcher.until((wanted) => window.seen()[0] === wanted, colour);
    await ben.setGain(0.4);
    await untilFirst(eve, "green");
    await ben.setGain(0);
    await ada.setGain(0.4);
    await untilFirst(eve, "red");
    await untilFirst(cy, "red");
    await untilFirst(ben, "red");

    await eve.call("watch", await cy.id());
    await untilFirst(eve, "blue");
    assert.equal((await names(eve))[0], "cy");
    await ada.setGain(0);
    await ben.setGain(0.4);
    await untilFirst(cy, "green");
    assert.equal(await first(eve), "blue");
    await eve.call("watch", null);
    await untilFirst(eve, "green");
    // All of them are seen all the time.
    await untilSees(eve, ["red", "green", "blue"]);
  });

  test("where one slot was offered, it follows the speaker", async () => {
    const own = await startServerWith("[room]\nvideo_slots = 1\n");
    try {
      const at = (name, options) => joinWatching(browser, own, { room: "one", name, ...options });
      const ada = await at("ada", { colour: "red", toneHz: 500, gain: 0.4 });
      const ben = await at("ben", { colour: "green", toneHz: 900, gain: 0 });
      const eve = await at("eve", { role: "listener" });
      await untilSees(eve, ["red"]);
      for (const [loud, silent, colour] of [[ben, ada, "green"], [ada, ben, "red"]]) {
        await silent.setGain(0);
        await loud.setGain(0.4);
        await untilSees(eve, [colour]);
      }
      // Those who speak see the other one, whoever it is.
      assert.deepEqual([await seen(ada), await seen(ben)], [["green"], ["red"]]);
    } finally {
      await own.stop();
    }
  });
});

describe("each codec", () => {
  for (const codec of ["video/VP8", "video/VP9", "video/H264", "video/AV1"]) {
    test(`${codec} is seen, by one who comes later too`, async (t) => {
      const ada = await enter(codec, "ada", { codec });
      if (!(await sends(ada.page, codec))) return t.skip("this browser doesn't send it");
      await turnOn(ada, "red", { width: 320, height: 180 });
      const ben = await enter(codec, "ben");
      const seenMs = await untilSees(ben, ["red"]);
      await sleep(2_000);
      const late = await enter(codec, "cy");
      const lateMs = await untilSees(late, ["red"]);
      await ben.call("stats");
      await sleep(3_000);
      const [{ framesPerSecond, width, height, bitrateBps, freezes, lossRatio }] = (await ben.call("stats")).video;
      const sent = await ada.page.evaluate(async () => {
        const report = [...(await window.room.peerConnection.getStats()).values()];
        const { codecId } = report.find(({ type, kind }) => type === "outbound-rtp" && kind === "video");
        return report.find(({ id }) => id === codecId).mimeType;
      });
      t.diagnostic(
        `${sent}: seen after ${seenMs} ms, by the third after ${lateMs} ms, ` +
          `${width}x${height} at ${framesPerSecond.toFixed(1)}/s, ${(bitrateBps / 1000).toFixed(0)} kbit/s, ${freezes} freezes`,
      );
      assert.equal(sent, codec);
      assert.ok(framesPerSecond > 1, `${framesPerSecond} pictures a second`);
      assert.ok(lossRatio < 0.01);
    });
  }
});

describe("a picture goes on", () => {
  test("over another WebSocket, without another keyframe", async () => {
    const ada = await enter("socket", "ada", { colour: "red" });
    const ben = await enter("socket", "ben", { colour: "green" });
    await untilSees(ada, ["green"]);
    await untilSees(ben, ["red"]);
    await sleep(1_000);
    const decoded = () => Promise.all([ada, ben].map(({ page }) => page.evaluate(pictures)));
    for (const watcher of [ada, ben]) {
      const before = await decoded();
      const former = await watcher.page.evaluateHandle(() => window.room.webSocket);
      await watcher.page.evaluate(() => window.room.webSocket.close());
      await watcher.until((socket) => window.room.state === "connected" && window.room.webSocket !== socket, former);
      await sleep(1_000);
      await untilSees(ada, ["green"]);
      await untilSees(ben, ["red"]);
      for (const [n, { frames, keyframes }] of (await decoded()).entries()) {
        assert.ok(frames > before[n].frames);
        assert.equal(keyframes, before[n].keyframes);
      }
    }
  });

  test("over another peer connection, of the sender's or of the watcher's", async (t) => {
    const ada = await enter("fresh", "ada", { colour: "red" });
    const ben = await enter("fresh", "ben", { colour: "green" });
    await untilSees(ada, ["green"]);
    await untilSees(ben, ["red"]);
    const id = await ben.id();
    await ada.call("watch", id);
    for (const watcher of [ada, ben]) {
      const former = await watcher.page.evaluateHandle(() => window.room.peerConnection);
      await watcher.page.evaluate(() => {
        window.room.peerConnection.close();
        window.dispatchEvent(new Event("online"));
      });
      const from = Date.now();
      await watcher.until((pc) => {
        const { peerConnection, state } = window.room;
        return peerConnection !== pc && peerConnection.connectionState === "connected" && state === "connected";
      }, former);
      await sleep(700);
      await untilSees(ada, ["green"]);
      await untilSees(ben, ["red"]);
      t.diagnostic(`after another connection of ${watcher.name} both are seen within ${Date.now() - from} ms`);
    }
    assert.equal((await everSeen(ada)).includes("red"), false);
  });
});

describe("without video", () => {
  test("a client that didn't ask for it has no m-line for it, and is none the worse", async () => {
    const ada = await enter("audio", "ada", { colour: "red" });
    const ben = await enter("audio", "ben", { sdk: { video: false }, toneHz: 500 });
    await ada.until((id) => window.room.slots.some(({ participant }) => participant?.id === id), await ben.id());
    const sdp = await ben.page.evaluate(() => window.room.peerConnection.localDescription.sdp);
    assert.equal(sdp.includes("m=video"), false);
    assert.deepEqual(await ben.page.evaluate(() => window.room.videoSlots), []);
    await ben.until((id) => window.room.participants.get(id)?.tracks.some(({ origin }) => origin === "camera"), await ada.id());
  });

  test("a room of no video slots has no video for those who ask", async () => {
    const own = await startServerWith("[room]\nvideo_slots = 0\n");
    try {
      const ada = await joinWatching(browser, own, { room: "blind", name: "ada" });
      assert.deepEqual(await ada.page.evaluate(() => window.room.videoSlots), []);
      await assert.rejects(turnOn(ada, "red"), /no video/);
      const sdp = await ada.page.evaluate(() => window.room.peerConnection.localDescription.sdp);
      assert.equal(sdp.includes("m=video"), false);
    } finally {
      await own.stop();
    }
  });
});

// Runs in the page.
async function pictures() {
  const report = [...(await window.room.peerConnection.getStats()).values()];
  const video = report.filter(({ type, kind, framesDecoded }) => type === "inbound-rtp" && kind === "video" && framesDecoded);
  const [{ framesDecoded: frames, keyFramesDecoded: keyframes }] = video;
  return { frames, keyframes };
}
