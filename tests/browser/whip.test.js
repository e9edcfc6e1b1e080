// WHIP and WHEP by the libraries that pages use, none of which is ours, from pages of another origin: what one publishes,
// another hears and sees, before and after a restart of ICE.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { openBrowser } from "./lib/browser.js";
import { startServer } from "./lib/server.js";
import { Studio, untilPageHears } from "./lib/studio.js";
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
