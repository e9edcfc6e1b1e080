// Firefox as an encoder and as a player, by medooze's library: it and Chromium hear each other.

import { after, before, test } from "node:test";
import { openBrowser } from "../lib/browser.js";
import { FAKE_MICROPHONE_HZ, openFirefox } from "../lib/firefox.js";
import { startServer } from "../lib/server.js";
import { Studio, untilPageHears } from "../lib/studio.js";

const SECRET = "a-secret-of-the-tests-that-is-long-enough";

let server;
let chromium;
let firefox;
let studio;

before(async () => {
  server = await startServer("--media-udp", "10.77.0.1:0", "--secret", SECRET, "--demo");
  studio = new Studio(server, SECRET, "both");
  chromium = await openBrowser();
  firefox = await openFirefox();
});
after(async () => {
  await firefox?.close();
  await chromium?.close();
  await server?.stop();
});

test("Firefox publishes by WHIP and plays by WHEP, beside Chromium", async () => {
  const chrome = await studio.openPage(chromium);
  await studio.publish(chrome, "medooze", "chrome", { toneHz: 1400 });
  const fox = await studio.openPage(firefox);
  // WebAudio stands still in a Firefox without a sound card: it sends its synthetic microphone.
  await studio.publish(fox, "medooze", "fox");
  await studio.untilLive("fox");
  const player = await studio.openPage(chromium);
  await studio.play(player, "medooze", "?participant=fox");
  await untilPageHears(player, [FAKE_MICROPHONE_HZ]);
  const foxPlayer = await studio.openPage(firefox);
  await studio.play(foxPlayer, "medooze", "?participant=chrome");
  await foxPlayer.waitForFunction(
    async () => {
      const stats = [...(await window.player.pc.getStats()).values()];
      return stats.some((stat) => stat.type === "inbound-rtp" && stat.audioLevel > 0.1);
    },
    undefined,
    { timeout: 15_000 },
  );
  for (const [page, name] of [
    [foxPlayer, "player"],
    [player, "player"],
    [fox, "publisher"],
    [chrome, "publisher"],
  ]) {
    await page.evaluate((name) => window[name].stop(), name);
  }
});
