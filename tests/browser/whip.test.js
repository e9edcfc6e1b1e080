// WHIP and WHEP by the libraries that pages use, none of which is ours, from pages of another origin: what one publishes,
// another hears and sees, before and after a restart of ICE.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { build } from "esbuild";
import { openBrowser } from "./lib/browser.js";
import { participantToken, startServer } from "./lib/server.js";
import { joinAs, sleep, untilHears } from "./lib/talker.js";

const SECRET = "a-secret-of-the-tests-that-is-long-enough";
const ROOM = "stage";

let server;
let browser;
let libraries;

before(async () => {
  const contents = `
    export { WHIPClient as MedoozePublisher } from "whip-whep/whip.js";
    export { WHEPClient as MedoozePlayer } from "whip-whep/whep.js";
    export { WHIPClient as EyevinnPublisher } from "@eyevinn/whip-web-client";
    export { WebRTCPlayer as EyevinnPlayer } from "@eyevinn/webrtc-player";`;
  const stdin = { contents, resolveDir: import.meta.dirname };
  const built = await build({ stdin, bundle: true, format: "iife", globalName: "libraries", write: false });
  libraries = built.outputFiles[0].text;
  server = await startServer("--secret", SECRET, "--demo");
  browser = await openBrowser();
});
after(() => Promise.all([browser?.close(), server?.stop()]));

/** A page of another origin, with the libraries. */
async function openPage() {
  const page = await browser.newPage();
  await page.goto(`${server.url.replace("127.0.0.1", "localhost")}/healthz`);
  await page.addScriptTag({ content: libraries });
  await page.evaluate(prepare);
  return page;
}

// Runs in the page.
function prepare() {
  const audio = new AudioContext();
  /** A tone, and a picture that changes. */
  window.studio = (toneHz, withVideo) => {
    const oscillator = new OscillatorNode(audio, { frequency: toneHz });
    const microphone = new MediaStreamAudioDestinationNode(audio);
    oscillator.connect(new GainNode(audio, { gain: 0.5 })).connect(microphone);
    oscillator.start();
    const tracks = microphone.stream.getAudioTracks();
    if (withVideo) {
      const canvas = Object.assign(document.createElement("canvas"), { width: 320, height: 240 });
      const context = canvas.getContext("2d");
      setInterval(() => {
        context.fillStyle = `hsl(${performance.now() / 10}, 80%, 50%)`;
        context.fillRect(0, 0, 320, 240);
      }, 40);
      tracks.push(...canvas.captureStream(25).getVideoTracks());
    }
    return new MediaStream(tracks);
  };
  const analysers = [];
  const elements = [];
  /** Listens to what a track carries, too. */
  window.hear = (track) => {
    const stream = new MediaStream([track]);
    // Chromium decodes a remote track only while a media element plays it.
    const element = Object.assign(document.createElement("video"), { srcObject: stream, muted: track.kind === "video" });
    element.play();
    elements.push(element);
    if (track.kind === "video") return;
    const analyser = new AnalyserNode(audio, { fftSize: 8192, smoothingTimeConstant: 0 });
    audio.createMediaStreamSource(stream).connect(analyser);
    analysers.push(analyser);
  };
  /** The loudest tone of each track. */
  window.tones = () =>
    analysers.map((analyser) => {
      const bins = new Float32Array(analyser.frequencyBinCount);
      analyser.getFloatFrequencyData(bins);
      let loudest = 20;
      for (let bin = loudest; bin < bins.length; bin++) if (bins[bin] > bins[loudest]) loudest = bin;
      return bins[loudest] < -70 ? null : (loudest * audio.sampleRate) / analyser.fftSize;
    });
  window.pictures = () => elements.reduce((sum, element) => sum + (element.getVideoPlaybackQuality?.().totalVideoFrames ?? 0), 0);
}

async function publish(page, kind, identity, toneHz, withVideo) {
  const token = await participantToken(SECRET, ROOM, identity, "speaker");
  await page.evaluate(
    async ([kind, url, token, toneHz, withVideo]) => {
      const stream = window.studio(toneHz, withVideo);
      if (kind === "medooze") {
        const connection = new RTCPeerConnection();
        // As its own demo does: one transceiver a track.
        for (const track of stream.getTracks()) connection.addTransceiver(track, { direction: "sendonly", streams: [stream] });
        window.publisher = new libraries.MedoozePublisher();
        await window.publisher.publish(connection, url, token);
      } else {
        window.publisher = new libraries.EyevinnPublisher({ endpoint: url, opts: { authkey: token, iceServers: [] } });
        await window.publisher.ingest(stream);
      }
    },
    [kind, `${server.url}/whip/${ROOM}`, token, toneHz, withVideo],
  );
}

async function play(page, kind, query = "") {
  const token = await participantToken(SECRET, ROOM, "player", "listener");
  await page.evaluate(
    async ([kind, url, token]) => {
      if (kind === "medooze") {
        const connection = new RTCPeerConnection();
        for (let slot = 0; slot < 3; slot++) connection.addTransceiver("audio", { direction: "recvonly" });
        connection.addTransceiver("video", { direction: "recvonly" });
        connection.addEventListener("track", ({ track, streams }) => {
          window.streams = new Set([...(window.streams ?? []), ...streams.map(({ id }) => id)]);
          window.hear(track);
        });
        window.player = new libraries.MedoozePlayer();
        await window.player.view(connection, url, token);
      } else {
        const video = document.createElement("video");
        document.body.append(video);
        window.player = new libraries.EyevinnPlayer({ video, type: "whep", iceServers: [] });
        // What it is given it sends as it is.
        await window.player.load(new URL(url), `Bearer ${token}`);
        for (let tries = 0; tries < 200 && !video.srcObject?.getAudioTracks().length; tries++) await new Promise((resolve) => setTimeout(resolve, 50));
        window.hear(video.srcObject.getAudioTracks()[0]);
        video.play();
      }
    },
    [kind, `${server.url}/whep/${ROOM}${query}`, token],
  );
}

/** Waits until a page hears these tones and no others. */
async function untilPageHears(page, wanted) {
  let heard;
  for (let tries = 0; tries < 50; tries++) {
    await sleep(200);
    heard = (await page.evaluate(() => window.tones())).filter((hz) => hz !== null).sort((a, b) => a - b);
    if (heard.length === wanted.length && heard.every((hz, n) => Math.abs(hz - wanted[n]) < 25)) return;
  }
  assert.fail(`${JSON.stringify(wanted)} were to be heard, not ${JSON.stringify(heard)}`);
}

/** What asks for a session and never connects. */
const OFFER = [
  "v=0",
  "o=- 1 1 IN IP4 127.0.0.1",
  "s=-",
  "t=0 0",
  "a=group:BUNDLE 0",
  "m=audio 9 UDP/TLS/RTP/SAVPF 111",
  "c=IN IP4 0.0.0.0",
  "a=mid:0",
  "a=ice-ufrag:abcd",
  "a=ice-pwd:abcdefabcdefabcdefabcdef",
  `a=fingerprint:sha-256 ${Array(32).fill("AB").join(":")}`,
  "a=setup:actpass",
  "a=recvonly",
  "a=rtcp-mux",
  "a=rtpmap:111 opus/48000/2",
  "",
].join("\r\n");

async function untilLive(identity) {
  const token = await participantToken(SECRET, ROOM, "early", "listener");
  const headers = { "content-type": "application/sdp", authorization: `Bearer ${token}` };
  for (let tries = 0; tries < 50; tries++) {
    const reply = await fetch(`${server.url}/whep/${ROOM}?participant=${identity}`, { method: "POST", headers, body: OFFER });
    if (reply.status === 201) return fetch(server.url + reply.headers.get("location"), { method: "DELETE", headers });
    assert.equal(reply.status, 409);
    await sleep(200);
  }
  return assert.fail(`${identity} does not publish`);
}

describe("encoders and players in pages of another origin", () => {
  test("medooze's are heard and seen, also after a restart of ICE on both sides", async () => {
    const [publisher, player] = [await openPage(), await openPage()];
    await publish(publisher, "medooze", "medooze", 700, true);
    await untilLive("medooze");
    await play(player, "medooze");
    await untilPageHears(player, [700]);
    const listener = await joinAs(browser, server, { room: ROOM, name: "sdk", role: "listener" });
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

    await player.evaluate(() => window.player.stop());
    await publisher.evaluate(() => window.publisher.stop());
    await listener.until(() => !window.room.participants.has("medooze"));
    await Promise.all([publisher, player, listener.page].map((page) => page.close()));
  });

  test("Eyevinn's are heard", async () => {
    const [publisher, player] = [await openPage(), await openPage()];
    const patches = [];
    publisher.on("response", (response) => {
      if (response.request().method() === "PATCH") patches.push(response.status());
    });
    await publish(publisher, "eyevinn", "eyevinn", 1100, false);
    await untilLive("eyevinn");
    await play(player, "eyevinn", "?participant=eyevinn");
    await untilPageHears(player, [1100]);
    assert.ok(patches.every((status) => status === 204), JSON.stringify(patches));
    await publisher.evaluate(() => window.publisher.destroy());
  });
});
