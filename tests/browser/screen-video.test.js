// Pictures of shared screens in real browsers: seen first, by everybody but their sharer, beside the cameras.

import assert from "node:assert/strict";
import { after, afterEach, before, beforeEach, describe, test } from "node:test";
import { openBrowser } from "./lib/browser.js";
import { startCluster } from "./lib/cluster.js";
import { joinWatching, seen, untilHeight } from "./lib/picture.js";
import { startServer } from "./lib/server.js";

/** The screen that Chromium pretends to have. */
const SCREEN_HEIGHT = 720;

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

const enter = (room, name, options = {}, at = server) => joinWatching(browser, at, { room, name, ...options });

const share = (sharer) =>
  sharer.page.evaluate(async () => {
    const stream = await navigator.mediaDevices.getDisplayMedia({ video: true });
    await window.room.shareScreen({ video: stream.getVideoTracks()[0] });
  });

/** Waits until the slots show these in this order, the first slot the first of them; each is `name` or `name's screen`. */
const untilShown = (watcher, wanted) =>
  watcher.until((names) => {
    const shown = window.room.videoSlots.filter(({ participant }) => participant);
    const named = shown.map(({ participant, origin }) => participant.name + (origin === "camera" ? "" : "'s screen"));
    return (shown[0]?.index ?? 0) === 0 && JSON.stringify(named) === JSON.stringify(names);
  }, wanted);

/** Waits until the first slot has pictures of whom it shows, and these move. */
async function untilMoves(watcher) {
  await watcher.until(() => window.room.videoSlots[0].isShown);
  const frames = () =>
    watcher.page.evaluate(async () => {
      const report = await window.room.peerConnection.getStats(window.room.videoSlots[0].track);
      return [...report.values()].find(({ type }) => type === "inbound-rtp").framesDecoded;
    });
  const from = await frames();
  await watcher.page.waitForTimeout(1_000);
  const decoded = (await frames()) - from;
  assert.ok(decoded >= 5, `${decoded} pictures in a second`);
}

const untilColours = (watcher, wanted) =>
  watcher.until((colours) => JSON.stringify(window.seen().slice(1, 3)) === JSON.stringify(colours), wanted);

describe("a shared screen", () => {
  test("is seen first and whole, beside the cameras, until it is shared no more", async () => {
    const ada = await enter("stage", "ada", { colour: "red" });
    const ben = await enter("stage", "ben", { colour: "green", toneHz: 900, gain: 0.4 });
    const eve = await enter("stage", "eve", { role: "listener" });
    await untilShown(eve, ["ben", "ada"]);
    await share(ada);
    await untilShown(eve, ["ada's screen", "ben", "ada"]);
    await untilShown(ben, ["ada's screen", "ada"]);
    await untilHeight(eve, SCREEN_HEIGHT);
    await untilMoves(eve);
    await untilColours(eve, ["green", "red"]);
    await untilShown(ada, ["ben"]);
    const id = await ada.id();
    const shares = (who) => window.room.participants.get(who).tracks.some(({ origin }) => origin === "screen_video");
    assert.equal(await eve.page.evaluate(shares, id), true);
    // Who comes later begins with a keyframe of it.
    const late = await enter("stage", "late", { role: "listener" });
    await untilShown(late, ["ada's screen", "ben", "ada"]);
    await untilHeight(late, SCREEN_HEIGHT);
    // Whom one watches comes after it.
    await eve.call("watch", id);
    await untilShown(eve, ["ada's screen", "ada", "ben"]);
    await eve.call("watch", null);

    await ada.call("shareScreen", {});
    await untilShown(eve, ["ben", "ada"]);
    await eve.until(() => window.seen()[0] === "green");
    assert.equal(await eve.page.evaluate(shares, id), false);
    for (const watcher of [ada, ben, eve]) assert.equal(await watcher.page.evaluate(() => window.negotiations), 0);
  });

  test("is withheld when it is muted, by its sharer or a moderator, and another waits for it", async () => {
    // The first in a room is its moderator.
    const mo = await enter("mute", "mo");
    const ada = await enter("mute", "ada", { colour: "red" });
    await share(ada);
    await untilShown(mo, ["ada's screen", "ada"]);
    await untilMoves(mo);
    await share(mo);
    await ada.until(() => [...window.room.participants.values()].filter(({ tracks }) => tracks.some(({ origin }) => origin === "screen_video")).length === 2);
    await untilShown(mo, ["ada's screen", "ada"]);
    await untilShown(ada, []);

    await mo.call("muteParticipant", await ada.id(), { track: "screen_video" });
    await ada.until(() => window.room.me.screenVideoMuted && !window.room.me.cameraMuted);
    await untilShown(mo, ["ada"]);
    await untilShown(ada, ["mo's screen"]);
    await untilMoves(ada);
    await ada.call("muteScreenVideo", false);
    await mo.call("muteScreenVideo", true);
    await untilShown(mo, ["ada's screen", "ada"]);
    await untilMoves(mo);
    await mo.until(() => window.seen()[1] === "red");
  });

  test("goes on over another peer connection", async () => {
    const ada = await enter("again", "ada");
    const eve = await enter("again", "eve", { role: "listener" });
    await share(ada);
    await untilShown(eve, ["ada's screen"]);
    await untilMoves(eve);
    for (const { page } of [ada, eve]) {
      await page.evaluate(() => {
        window.room.peerConnection.close();
        window.dispatchEvent(new Event("online"));
      });
    }
    await eve.until(() => window.room.peerConnection.connectionState === "connected");
    await untilShown(eve, ["ada's screen"]);
    await untilHeight(eve, SCREEN_HEIGHT);
    await untilMoves(eve);
  });

  test("is seen on another node", async () => {
    const cluster = await startCluster("media", "media");
    try {
      const [here, there] = cluster.nodes;
      const ada = await enter("across", "ada", { colour: "red" }, here);
      const ben = await enter("across", "ben", {}, there);
      await share(ada);
      await untilShown(ben, ["ada's screen", "ada"]);
      await untilHeight(ben, SCREEN_HEIGHT);
      await untilMoves(ben);
      assert.equal((await seen(ben))[1], "red");
      await ada.call("muteScreenVideo", true);
      await untilShown(ben, ["ada"]);
    } finally {
      await cluster.stop();
    }
  });
});
