// What the pre-roll does to a listener in Chromium: how much of a first syllable is heard, and what NetEq's delay and
// concealment say to it. A measurement, not a test: it prints a line of JSON a run, and a table at the end.
//
//   TERCET_BIN=target/release/tercet node tests/browser/measure/pre-roll.js --seconds 60 --pre-roll 0,60,100
//
// Four talkers take turns. Each spurt begins with a chirp whose pitch tells its age, so the pitch at which the listener
// hears it begin is what was lost of it.

import { parseArgs } from "node:util";
import { loadavg } from "node:os";
import { openBrowser } from "../lib/browser.js";
import { startServer } from "../lib/server.js";
import { joinAs, sleep } from "../lib/talker.js";

const CHIRP = { fromHz: 600, hzPerMs: 8, ms: 250 };

/** Pauses before each spurt, in turn. A position is held for 2.5 s, and yields after 160 ms of silence at the earliest. */
const SCENARIOS = {
  // Of three slots at least one is free whenever somebody begins.
  free: { slots: 3, spurtMs: 1000, pausesMs: [600] },
  // The one slot is busy whenever somebody begins: its former speaker goes on sending silence.
  takeover: { slots: 1, spurtMs: 1200, pausesMs: [100, 200, 500] },
  // Take-overs, and then a pause that is long enough to free the slot.
  mixed: { slots: 1, spurtMs: 1000, pausesMs: [100, 100, 100, 3500] },
};

const { values } = parseArgs({
  options: {
    seconds: { type: "string", default: "60" },
    "pre-roll": { type: "string", default: "0,60,100" },
    scenario: { type: "string", default: Object.keys(SCENARIOS).join(",") },
    red: { type: "boolean", default: false },
  },
});
const seconds = Number(values.seconds);
const rows = [];
for (const scenario of values.scenario.split(",")) {
  for (const preRollMs of values["pre-roll"].split(",").map(Number)) {
    const row = { scenario, preRollMs, ...(await measure(SCENARIOS[scenario], preRollMs)) };
    console.log(JSON.stringify(row));
    rows.push(row);
  }
}
console.table(rows);

async function measure({ slots, spurtMs, pausesMs }, preRollMs) {
  const server = await startServer("--slots", `${slots}`, "--pre-roll-ms", `${preRollMs}`);
  const browser = await openBrowser();
  try {
    const talkers = [];
    for (const n of [0, 1, 2, 3]) {
      const sdk = { red: values.red };
      talkers.push(
        await joinAs(browser, server, { room: "measure", name: `talker ${n}`, toneHz: 50, gain: 0, sdk }),
      );
    }
    const listener = await joinAs(browser, server, { room: "measure", name: "listener", role: "listener" });
    // A warm-up, so that nobody's noise is unknown any more, and NetEq's first guess is forgotten.
    const warmUpMs = 6_000;
    const begin = Date.now() + 2000;
    const startsMs = talkers.map(() => []);
    let spurts = 0;
    for (let at = begin; at < begin + warmUpMs + seconds * 1000; at += spurtMs) {
      at += pausesMs[spurts % pausesMs.length];
      startsMs[spurts++ % talkers.length].push(at);
    }
    for (const [n, talker] of talkers.entries()) {
      await talker.page.evaluate(speak, { startsMs: startsMs[n], spurtMs, chirp: CHIRP });
    }
    await sleep(begin + warmUpMs - Date.now());
    await listener.page.evaluate(record);
    const before = await prerolled(server);
    const samples = [];
    const end = Date.now() + seconds * 1000;
    while (Date.now() < end) {
      samples.push(await listener.page.evaluate(inbound));
      await sleep(500);
    }
    const onsets = await listener.page.evaluate(heardOnsets, CHIRP);
    const packets = (await prerolled(server)) - before;
    return { ...summary(samples), ...lost(onsets), packets, load: Math.round(loadavg()[0] * 10) / 10 };
  } finally {
    await browser.close();
    await server.stop();
  }
}

async function prerolled(server) {
  const metrics = await (await fetch(`${server.url}/metrics`)).text();
  return Number(metrics.match(/^tercet_pre_roll_packets_total\S* (\d+)/m)?.[1] ?? 0);
}

/** Of what the listener's slots report: delays in milliseconds, events and audible milliseconds a minute. */
function summary(samples) {
  const targets = [];
  const delays = [];
  const sum = {};
  const spread = Math.max(1, samples.length - 1);
  for (let n = 1; n < samples.length; n++) {
    for (const [id, now] of Object.entries(samples[n])) {
      const was = samples[n - 1][id];
      if (!was) continue;
      const delta = Object.fromEntries(Object.keys(now).map((key) => [key, now[key] - was[key]]));
      for (const [key, value] of Object.entries(delta)) sum[key] = (sum[key] ?? 0) + value;
      // A slot that carried next to nothing has no delay.
      if (delta.jitterBufferEmittedCount < 4800) continue;
      const third = Math.floor(((n - 1) * 3) / spread);
      targets.push({ third, ms: (1000 * delta.jitterBufferTargetDelay) / delta.jitterBufferEmittedCount });
      delays.push({ third, ms: (1000 * delta.jitterBufferDelay) / delta.jitterBufferEmittedCount });
    }
  }
  const aMinute = 60 / seconds;
  const ms = (samples) => Math.round((samples / 48) * aMinute);
  return {
    target: statistics(targets),
    delay: statistics(delays),
    events: Math.round(sum.concealmentEvents * aMinute),
    concealedMs: ms(sum.concealedSamples - sum.silentConcealedSamples),
    slowedMs: ms(sum.insertedSamplesForDeceleration),
    hurriedMs: ms(sum.removedSamplesForAcceleration),
    lost: sum.packetsLost,
    discarded: sum.packetsDiscarded,
  };
}

/** mean / 95th percentile / maximum, and the means of the first and of the last third. */
function statistics(values) {
  const mean = (of) => Math.round(of.reduce((sum, { ms }) => sum + ms, 0) / Math.max(1, of.length));
  const sorted = values.map(({ ms }) => Math.round(ms)).sort((a, b) => a - b);
  const thirds = [0, 2].map((third) => mean(values.filter((value) => value.third === third)));
  return `${mean(values)}/${sorted[Math.floor(sorted.length * 0.95)]}/${sorted.at(-1)} ${thirds.join(">")}`;
}

/** Of the onsets that were heard: how much of each was not. */
function lost(onsets) {
  const sorted = onsets.map(Math.round).sort((a, b) => a - b);
  const at = (share) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];
  return { onsets: sorted.length, lostMs: `${at(0.5)}/${at(0.9)}/${sorted.at(-1)}` };
}

// Runs in a talker's page: spurts at the given times of the machine's clock, in a quiet room.
function speak({ startsMs, spurtMs, chirp }) {
  const audio = window.microphone.context;
  const rate = audio.sampleRate;
  const spurt = new AudioBuffer({ length: (spurtMs / 1000) * rate, sampleRate: rate });
  const samples = spurt.getChannelData(0);
  let phase = 0;
  for (let n = 0; n < samples.length; n++) {
    const ms = (1000 * n) / rate;
    const inChirp = ms < chirp.ms;
    const hz = inChirp ? chirp.fromHz + chirp.hzPerMs * ms : 300 + 100 * Math.sin(ms / 90);
    phase += (2 * Math.PI * hz) / rate;
    // After the chirp four syllables a second, without silence between them.
    const loudness = inChirp
      ? Math.min(1, ms / 2)
      : 0.65 + 0.35 * Math.cos((2 * Math.PI * (ms - chirp.ms)) / 250);
    samples[n] = 0.3 * loudness * Math.sin(phase);
  }
  const room = new AudioBuffer({ length: rate, sampleRate: rate });
  room.getChannelData(0).forEach((_, n, noise) => {
    noise[n] = 0.0003 * (Math.random() - 0.5);
  });
  const hum = new AudioBufferSourceNode(audio, { buffer: room, loop: true });
  hum.connect(window.microphone);
  hum.start();
  for (const startMs of startsMs) {
    const source = new AudioBufferSourceNode(audio, { buffer: spurt });
    source.connect(window.microphone);
    source.start(audio.currentTime + (startMs - Date.now()) / 1000);
  }
}

// Runs in the listener's page: keeps everything that is heard from now on.
function record() {
  const audio = new AudioContext();
  const recorder = audio.createScriptProcessor(4096, 1, 1);
  window.heard = { rate: audio.sampleRate, blocks: [] };
  recorder.onaudioprocess = ({ inputBuffer }) =>
    window.heard.blocks.push(inputBuffer.getChannelData(0).slice());
  for (const { track } of window.room.slots) {
    audio.createMediaStreamSource(new MediaStream([track])).connect(recorder);
  }
  recorder.connect(audio.destination);
  window.recorder = recorder;
}

// Runs in the listener's page: how old each chirp was when it began to be heard, in milliseconds.
function heardOnsets(chirp) {
  const { rate, blocks } = window.heard;
  const quietMin = 0.05 * rate;
  const onsets = [];
  let quiet = 0;
  const all = new Float32Array(blocks.length * 4096);
  blocks.forEach((block, n) => {
    all.set(block, n * 4096);
  });
  for (let n = 0; n < all.length - 0.03 * rate; n++) {
    if (Math.abs(all[n]) < 0.06) {
      quiet++;
      continue;
    }
    if (quiet >= quietMin) {
      const crossings = [];
      for (let i = n + 1; i < n + 0.03 * rate; i++) {
        if (all[i - 1] < 0 && all[i] >= 0) crossings.push(i - 1 + all[i - 1] / (all[i - 1] - all[i]));
      }
      const ages = [];
      for (let i = 1; i < crossings.length; i++) {
        const hz = rate / (crossings[i] - crossings[i - 1]);
        const since = (1000 * ((crossings[i] + crossings[i - 1]) / 2 - n)) / rate;
        ages.push((hz - chirp.fromHz) / chirp.hzPerMs - since);
      }
      ages.sort((a, b) => a - b);
      const age = ages[Math.floor(ages.length / 2)];
      // What is no tone of the chirp's is a click of a recorder that was starved.
      if (age < chirp.ms) onsets.push(age);
    }
    quiet = 0;
  }
  return onsets;
}

// Runs in the listener's page: the counters of each slot.
async function inbound() {
  const slots = {};
  for (const stat of (await window.room.peerConnection.getStats()).values()) {
    if (stat.type !== "inbound-rtp") continue;
    slots[stat.id] = Object.fromEntries(
      [
        "jitterBufferTargetDelay",
        "jitterBufferMinimumDelay",
        "jitterBufferDelay",
        "jitterBufferEmittedCount",
        "concealedSamples",
        "silentConcealedSamples",
        "concealmentEvents",
        "insertedSamplesForDeceleration",
        "removedSamplesForAcceleration",
        "totalSamplesReceived",
        "packetsLost",
        "packetsDiscarded",
      ].map((key) => [key, stat[key] ?? 0]),
    );
  }
  return slots;
}
