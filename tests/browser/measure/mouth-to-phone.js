// How long a word takes from a browser to a phone, on one machine. A measurement, not a test: it prints a line of JSON a
// run, and a table at the end.
//
//   TERCET_BIN=target/release/tercet node tests/browser/measure/mouth-to-phone.js --onsets 60 --pause 700,3500
//
// The page begins a tone at moments of the machine's clock, spread evenly over the buffers of its audio thread: the wait for
// the next one is that of a microphone's. The phone is a line in G.711, in this process: a SIP call by hand, and a socket
// that writes down when each packet came. In the first one with sound, the first sample that is loud is the onset.
//
//   arrived   when the packet with the onset came
//   played    when a phone would play the onset that plays packets as they come: later by its place in the packet.
//             The phone's own jitter buffer, 20 to 40 ms, comes on top
//
// After a pause of 3.5 s the talker has lost the position, and takes one anew; after one of 0.7 s it still has it.
// `--others` are browsers that talk all the time. What the browser's encoder and pacer take is in it; what a sound card and
// its driver take is not. Chromium is a session of its own (sched(7), autogroup): where others use the machine too, it is
// Chromium that is late.

import { loadavg } from "node:os";
import { parseArgs } from "node:util";
import { openBrowser } from "../lib/browser.js";
import { startServer } from "../lib/server.js";
import { joinAs, sleep } from "../lib/talker.js";
import { Line, now } from "./line.js";

const TONE_HZ = 1000;
const TONE_MS = 300;
/** What began this long before is no answer to an onset. */
const LATE_MS = 600;

const { values } = parseArgs({
  options: {
    onsets: { type: "string", default: "60" },
    pause: { type: "string", default: "700,3500" },
    others: { type: "string", default: "0,2" },
  },
});
const rows = [];
for (const others of values.others.split(",").map(Number)) {
  for (const pauseMs of values.pause.split(",").map(Number)) {
    const row = { others, pauseMs, ...(await measure(others, pauseMs, Number(values.onsets))) };
    console.log(JSON.stringify(row));
    rows.push(row);
  }
}
console.table(rows);

async function measure(others, pauseMs, onsets) {
  const server = await startServer("--sip", "127.0.0.1:0");
  const browser = await openBrowser();
  let line;
  try {
    line = await Line.open(server.sipUri("measure"));
    for (let n = 0; n < others; n++) {
      await joinAs(browser, server, { room: "measure", name: `other ${n}`, toneHz: 300 + 100 * n, gain: 0.005 });
    }
    const talker = await joinAs(browser, server, { room: "measure", name: "talker", toneHz: 50, gain: 0 });
    // So that nobody's noise is unknown any more, and the first guesses of jitter buffers are forgotten.
    await talker.page.evaluate(speak, { toneHz: TONE_HZ, toneMs: TONE_MS });
    await sleep(5000);
    const began = [];
    for (let n = 0; n < onsets; n++) {
      const atMs = now() + 50 + 20 * Math.random();
      await talker.page.evaluate((at) => window.begin(at), atMs);
      began.push(atMs);
      await sleep(TONE_MS + pauseMs);
    }
    const heard = began.map((atMs) => line.onsets.find(({ arrivedMs }) => arrivedMs > atMs && arrivedMs < atMs + LATE_MS));
    const found = heard.flatMap((onset, n) =>
      onset ? [{ arrived: onset.arrivedMs - began[n], played: onset.arrivedMs + onset.placeMs - began[n] }] : [],
    );
    return {
      onsets: `${found.length} of ${onsets}`,
      "arrived p50/p95/max": statistics(found.map(({ arrived }) => arrived)),
      "played p50/p95/max": statistics(found.map(({ played }) => played)),
      audioBufferMs: await talker.page.evaluate(() => Math.round(1000 * window.microphone.context.baseLatency)),
      load: Math.round(loadavg()[0] * 10) / 10,
    };
  } finally {
    await line?.hangUp();
    await browser.close();
    await server.stop();
  }
}

function statistics(values) {
  const sorted = values.map(Math.round).sort((a, b) => a - b);
  const at = (share) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];
  return `${at(0.5)}/${at(0.95)}/${sorted.at(-1)}`;
}

// Runs in the talker's page: a tone at the given moment of the machine's clock, from the first block that is rendered after it.
async function speak({ toneHz, toneMs }) {
  const processor = `registerProcessor("spurt", class extends AudioWorkletProcessor {
    constructor() {
      super();
      this.left = 0;
      this.phase = 0;
      this.port.onmessage = ({ data }) => { this.at = data; };
    }
    process(_, [[channel]]) {
      if (this.at !== undefined && Date.now() >= this.at) {
        this.left = (sampleRate * ${toneMs}) / 1000;
        this.phase = 0;
        this.at = undefined;
      }
      for (let n = 0; n < channel.length && this.left > 0; n++, this.left--) {
        channel[n] = 0.5 * Math.cos(this.phase);
        this.phase += (2 * Math.PI * ${toneHz}) / sampleRate;
      }
      return true;
    }
  })`;
  const audio = window.microphone.context;
  await audio.audioWorklet.addModule(URL.createObjectURL(new Blob([processor], { type: "text/javascript" })));
  const spurt = new AudioWorkletNode(audio, "spurt", { numberOfInputs: 0, outputChannelCount: [1] });
  spurt.connect(window.microphone);
  window.begin = (at) => spurt.port.postMessage(at);
}
