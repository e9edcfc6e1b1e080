// Firefox numbers Opus and the header extensions its own way: it and Chromium hear each other.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { openBrowser } from "../lib/browser.js";
import { FAKE_MICROPHONE_HZ, openFirefox } from "../lib/firefox.js";
import { startServer } from "../lib/server.js";
import { joinAs, untilHears } from "../lib/talker.js";

let server;
let chromium;
let firefox;

before(async () => {
  // HTTP stays on loopback, which browsers hold to be secure enough for a microphone.
  const secret = "a-secret-of-the-tests-that-is-long-enough";
  server = await startServer("--media-udp", "10.77.0.1:0", "--secret", secret, "--demo");
  chromium = await openBrowser();
  firefox = await openFirefox();
});
after(async () => {
  await firefox?.close();
  await chromium?.close();
  await server?.stop();
});

test("Firefox and Chromium hear each other, each under its own payload type", async () => {
  const chrome = await joinAs(chromium, server, { room: "both", name: "chrome", toneHz: 1400 });
  const fox = await joinAs(firefox, server, { room: "both", name: "fox" });
  // WebAudio stands still in a Firefox without a sound card, so it sends its synthetic microphone,
  // and what it hears is read from its statistics.
  await fox.page.evaluate(async () => {
    const microphone = await navigator.mediaDevices.getUserMedia({ audio: true });
    await window.room.setAudioTrack(microphone.getAudioTracks()[0]);
  });
  await untilHears(chrome, [FAKE_MICROPHONE_HZ], [FAKE_MICROPHONE_HZ, 1400]);
  await fox.until(async () => {
    const stats = [...(await window.room.peerConnection.getStats()).values()];
    return stats.some((stat) => stat.type === "inbound-rtp" && stat.audioLevel > 0.1);
  });
  const payloadTypes = (talker) =>
    talker.page.evaluate(async () => {
      const stats = [...(await window.room.peerConnection.getStats()).values()];
      const codecs = stats.filter((stat) => stat.type === "codec" && /opus/i.test(stat.mimeType));
      return [...new Set(codecs.map((codec) => codec.payloadType))];
    });
  assert.deepEqual(await payloadTypes(fox), [109]);
  assert.deepEqual(await payloadTypes(chrome), [111]);
  // Muting is a change of role at the server, not of the connection.
  await fox.call("mute", true);
  await untilHears(chrome, [], [FAKE_MICROPHONE_HZ, 1400]);
});
