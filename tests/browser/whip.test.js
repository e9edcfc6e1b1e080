// WHIP and WHEP by the libraries that pages use, none of which is ours, from pages of another origin: what one publishes,
// another hears and sees, before and after a restart of ICE.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { openBrowser } from "./lib/browser.js";
import { joinWatching, turnOn } from "./lib/picture.js";
import { startServer } from "./lib/server.js";
import { Studio, untilPageHears, untilPageSees, untilTold } from "./lib/studio.js";
import { joinAs, sleep, untilHears } from "./lib/talker.js";

const SECRET = "a-secret-of-the-tests-that-is-long-enough";

let server;
let browser;
let studio;

before(async () => {
  server = await startServer("--secret", SECRET, "--demo");
  studio = new Studio(server, SECRET, "stage");
  browser = await openBrowser();
});
after(() => Promise.all([browser?.close(), server?.stop()]));

describe("encoders and players in pages of another origin", () => {
  test("medooze's are heard and seen, also after a restart of ICE on both sides", async () => {
    const [publisher, player] = [await studio.openPage(browser), await studio.openPage(browser)];
    await studio.publish(publisher, "medooze", "medooze", { toneHz: 700, withVideo: true });
    await studio.untilLive("medooze");
    await studio.play(player, "medooze");
    await untilPageHears(player, [700]);
    const listener = await joinAs(browser, server, { room: studio.room, name: "sdk", role: "listener" });
    await untilHears(listener, [700], [700]);
    const transport = await listener.page.evaluate(() => window.room.participants.get("medooze").transport);
    assert.equal(transport, "whip");

    const before = await player.evaluate(() => window.pictures());
    await sleep(1000);
    assert.ok((await player.evaluate(() => window.pictures())) > before + 5, "the picture moves");
    assert.deepEqual(await player.evaluate(() => [...window.streams]), ["tercet"]);

    const patches = { publisher: [], player: [] };
    for (const [name, page] of Object.entries({ publisher, player })) {
      page.on("response", (response) => {
        if (response.request().method() === "PATCH") patches[name].push(response.status());
      });
      await page.evaluate((name) => window[name].restart(), name);
    }
    await sleep(3000);
    await untilPageHears(player, [700]);
    const states = await Promise.all([publisher, player].map((page, n) => page.evaluate((name) => window[name].pc.iceConnectionState, ["publisher", "player"][n])));
    assert.ok(states.every((state) => ["connected", "completed"].includes(state)), states.join());
    assert.ok(patches.publisher.includes(200) && patches.player.includes(200), JSON.stringify(patches));

    const events = await player.evaluate(async () => {
      const stream = window.player.eventSource;
      const inactive = new Promise((resolve) => stream.addEventListener("inactive", () => resolve("inactive")));
      window.inactive = inactive;
      return stream.readyState;
    });
    assert.equal(events, 1, "a stream of events is open");
    await publisher.evaluate(() => window.publisher.stop());
    assert.equal(await player.evaluate(() => window.inactive), "inactive");
    await player.evaluate(() => window.player.stop());
    await listener.until(() => !window.room.participants.has("medooze"));
    await Promise.all([publisher, player, listener.page].map((page) => page.close()));
  });

  test("medooze's player is told of layers, and chooses one", async () => {
    const sizes = new Studio(server, SECRET, "sizes");
    const ada = await joinWatching(browser, server, { room: sizes.room, name: "ada" });
    await turnOn(ada, "red", { width: 1280, height: 720 });
    await sizes.untilLive(await ada.id());
    const player = await sizes.openPage(browser);
    const statuses = [];
    player.on("response", (response) => {
      const { pathname } = new URL(response.url());
      if (pathname.endsWith("/layer")) statuses.push(`${response.request().method()} ${response.status()}`);
    });
    await sizes.play(player, "medooze");
    // Chromium begins with the largest encoding when its own estimate has grown: that may take longer than a test.
    const large = () => untilPageSees(player, 360, true);
    const { active, inactive, layers } = await untilTold(player, ({ active }) => active.length >= 2);
    assert.deepEqual([...active, ...inactive].map(({ id }) => id).sort(), ["0", "1", "2"]);
    assert.ok(layers.every(({ encodingId, height, bitrate }) => height === 180 << Number(encodingId) && bitrate > 0), JSON.stringify(layers));
    await large();

    const choose = (layer) => player.evaluate((layer) => window.player.selectLayer(layer), layer);
    await choose({ mediaId: "3", ...layers.find(({ height }) => height === 180) });
    await untilPageSees(player, 180);
    // Nobody else watches: the others rest, and may be chosen all the same.
    const resting = await untilTold(player, ({ inactive }) => inactive.length === 2);
    assert.deepEqual(resting.inactive.map(({ id }) => id), ["2", "1"]);
    await choose({ encodingId: "1" });
    await untilPageSees(player, 360);
    await choose({ mediaId: "3", maxSpatialLayerId: 0 });
    await untilPageSees(player, 180);
    await choose({ mediaId: "3" });
    await large();
    await choose({ spatialLayerId: 0 });
    await untilPageSees(player, 180);
    await player.evaluate(() => window.player.unselectLayer());
    await large();
    assert.deepEqual(statuses.filter((it) => !it.startsWith("OPTIONS")), [...Array(5).fill("POST 200"), "DELETE 200"]);

    await ada.call("setVideoTrack", null);
    await untilTold(player, ({ layers }) => layers.length === 0);
    await player.evaluate(() => window.player.stop());
    await Promise.all([player, ada.page].map((page) => page.close()));
  });

  test("Eyevinn's are heard", async () => {
    const [publisher, player] = [await studio.openPage(browser), await studio.openPage(browser)];
    const patches = [];
    publisher.on("response", (response) => {
      if (response.request().method() === "PATCH") patches.push(response.status());
    });
    await studio.publish(publisher, "eyevinn", "eyevinn", { toneHz: 1100 });
    await studio.untilLive("eyevinn");
    await studio.play(player, "eyevinn", "?participant=eyevinn");
    await untilPageHears(player, [1100]);
    assert.ok(patches.every((status) => status === 204), JSON.stringify(patches));
    await publisher.evaluate(() => window.publisher.destroy());
  });
});
