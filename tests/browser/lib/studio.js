// Pages of another origin that publish by WHIP and play by WHEP, with the libraries of others.

import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { participantToken } from "./server.js";
import { sleep } from "./talker.js";

const LIBRARIES = `
  export { WHIPClient as MedoozePublisher } from "whip-whep/whip.js";
  export { WHEPClient as MedoozePlayer } from "whip-whep/whep.js";
  export { WHIPClient as EyevinnPublisher } from "@eyevinn/whip-web-client";
  export { WebRTCPlayer as EyevinnPlayer } from "@eyevinn/webrtc-player";`;

let bundled;

/** A room of a server with a secret, as encoders and players see it. */
export class Studio {
  constructor(server, secret, room) {
    Object.assign(this, { server, secret, room });
  }

  token(identity, role) {
    return participantToken(this.secret, this.room, identity, role);
  }

  /** A page of another origin, with the libraries. */
  async openPage(browser) {
    const stdin = { contents: LIBRARIES, resolveDir: fileURLToPath(new URL("..", import.meta.url)) };
    bundled ??= build({ stdin, bundle: true, format: "iife", globalName: "libraries", write: false });
    const page = await browser.newPage();
    await page.goto(`${this.server.url.replace("127.0.0.1", "localhost")}/healthz`);
    await page.addScriptTag({ content: (await bundled).outputFiles[0].text });
    await page.evaluate(prepare);
    return page;
  }

  /** A page publishes a tone, and a picture, by medooze's or Eyevinn's client; without a tone, its microphone. */
  async publish(page, kind, identity, { toneHz = null, withVideo = false } = {}) {
    const token = await this.token(identity, "speaker");
    await page.evaluate(beginToPublish, [kind, `${this.server.url}/whip/${this.room}`, token, toneHz, withVideo]);
  }

  /** A page plays the room, or one of its participants. */
  async play(page, kind, query = "") {
    const token = await this.token("player", "listener");
    await page.evaluate(beginToPlay, [kind, `${this.server.url}/whep/${this.room}${query}`, token]);
  }

  /** Waits until somebody publishes. */
  async untilLive(identity) {
    const headers = { "content-type": "application/sdp", authorization: `Bearer ${await this.token("early", "listener")}` };
    const url = `${this.server.url}/whep/${this.room}?participant=${identity}`;
    for (let tries = 0; tries < 50; tries++) {
      const reply = await fetch(url, { method: "POST", headers, body: OFFER });
      if (reply.status === 201) return fetch(this.server.url + reply.headers.get("location"), { method: "DELETE", headers });
      assert.equal(reply.status, 409);
      await sleep(200);
    }
    return assert.fail(`${identity} does not publish`);
  }
}

// Runs in the page.
function prepare() {
  const audio = new AudioContext();
  /** A tone or what the microphone has, and a picture that changes. */
  window.studio = async (toneHz, withVideo) => {
    if (toneHz === null) return navigator.mediaDevices.getUserMedia({ audio: true });
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
  // medooze's player passes events on to nobody: the latest of layers is written down.
  window.EventSource = class extends EventSource {
    constructor(url) {
      super(url);
      this.addEventListener("layers", ({ data }) => {
        window.layers = JSON.parse(data);
      });
    }
  };
  window.pictures = () => elements.reduce((sum, element) => sum + (element.getVideoPlaybackQuality?.().totalVideoFrames ?? 0), 0);
}

// Runs in the page.
async function beginToPublish([kind, url, token, toneHz, withVideo]) {
  const stream = await window.studio(toneHz, withVideo);
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
}

// Runs in the page.
async function beginToPlay([kind, url, token]) {
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
}

/** Waits until the pictures that a page plays by medooze's client are so high, or as high as that at least. */
export async function untilPageSees(page, height, orHigher = false) {
  let seen;
  for (let tries = 0; tries < 300; tries++) {
    seen = await page.evaluate(async () => {
      const report = await window.player.pc.getStats();
      return [...report.values()].find(({ type, kind }) => type === "inbound-rtp" && kind === "video")?.frameHeight;
    });
    if (seen === height || (orHigher && seen > height)) return;
    await sleep(100);
  }
  const told = await page.evaluate(() => JSON.stringify(window.layers));
  assert.fail(`pictures were to be ${height} high, not ${seen}; it was told ${told}`);
}

/** Waits until a page was told of layers of which this is true, in its fourth m-line. Returns what it was told. */
export async function untilTold(page, isSo) {
  let told;
  for (let tries = 0; tries < 300; tries++) {
    told = await page.evaluate(() => window.layers?.[3]);
    if (told && isSo(told)) return told;
    await sleep(100);
  }
  assert.fail(`it was told ${JSON.stringify(told)}`);
}

/** Waits until a page hears these tones and no others. */
export async function untilPageHears(page, wanted) {
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
