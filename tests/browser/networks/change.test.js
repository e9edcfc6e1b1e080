// A broadcast in the middle of which its publisher and its player get another address, as phones do: nobody restarts anything.
// Runs in a network namespace.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { openBrowser } from "../lib/browser.js";
import { openNetwork } from "../lib/network.js";
import { startServer } from "../lib/server.js";
import { Studio, untilPageHears } from "../lib/studio.js";
import { sleep } from "../lib/talker.js";

const SECRET = "a-secret-of-the-tests-that-is-long-enough";

let server;
let network;
let browser;
let studio;

before(async () => {
  const here = ["--http", "10.77.0.1:0", "--media-udp", "10.77.0.1:0"];
  server = await startServer(...here, "--media-tcp", "off", "--secret", SECRET, "--demo");
  studio = new Studio(server, SECRET, "stage");
  network = await openNetwork();
  network.setAddress("10.77.0.2");
  browser = await openBrowser({ loopback: false, program: network.browser });
});
after(async () => {
  await browser?.close();
  await network?.close();
  await server?.stop();
});

/** Waits until the picture moves for a second. */
async function untilItMoves(page) {
  for (let tries = 0; tries < 20; tries++) {
    const before = await page.evaluate(() => window.pictures());
    await sleep(1000);
    if ((await page.evaluate(() => window.pictures())) > before + 15) return;
  }
  assert.fail("the picture stands still");
}

test("a broadcast goes on when the addresses of both its ends change", async () => {
  const [publisher, player] = [await studio.openPage(browser), await studio.openPage(browser)];
  await studio.publish(publisher, "medooze", "roaming", { toneHz: 700, withVideo: true });
  await studio.untilLive("roaming");
  await studio.play(player, "medooze");
  await untilPageHears(player, [700]);
  await untilItMoves(player);
  network.setAddress("10.77.0.3");
  // Longer than the way to the new address may take. What is heard and seen then came there.
  await sleep(8000);
  await untilPageHears(player, [700]);
  await untilItMoves(player);
});
