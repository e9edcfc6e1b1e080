// How long after a new speaker was chosen their picture is seen, in the large slot: four who speak in turn, two seconds and a half
// each, and one who watches. Prints the median, the 95th percentile and the longest, in ms, of two times:
//
//   heard    since the page was told that the speaker is in one of the three slots for sound: they weren't before
//   chosen   since it was told that the speaker is in the first slot for pictures
//
//   TERCET_BIN=$PWD/target/release/tercet node tests/browser/measure/speaker-to-picture.js --turns 60

import { parseArgs } from "node:util";
import { openBrowser } from "../lib/browser.js";
import { COLOURS, joinWatching, untilSees } from "../lib/picture.js";
import { startServer } from "../lib/server.js";
import { sleep } from "../lib/talker.js";

const { values } = parseArgs({ options: { turns: { type: "string", default: "40" } } });
const turns = Number(values.turns);
const colours = Object.keys(COLOURS);

/** So that the fourth is the first who is silent long enough for the next to have that position. */
const TURN_MS = 2_500;

const server = await startServer();
const browser = await openBrowser();
try {
  const enter = (name, options) => joinWatching(browser, server, { room: "turns", name, ...options });
  const speakers = [];
  for (const [n, colour] of colours.entries()) speakers.push(await enter(colour, { colour, toneHz: 500 + 200 * n, gain: 0 }));
  const viewer = await enter("eve", { role: "listener" });
  await untilSees(viewer, colours);
  await viewer.page.evaluate(follow, COLOURS);
  // Whoever came first is seen first.
  for (let turn = 1; turn <= turns; turn++) {
    const speaker = turn % speakers.length;
    await speakers[speaker].setGain(0.4);
    await sleep(TURN_MS);
    await speakers[speaker].setGain(0);
    const change = await viewer.page.evaluate(() => window.changes.at(-1));
    if (change?.name !== colours[speaker]) console.log(`turn ${turn}: ${colours[speaker]} was not chosen`);
  }
  const changes = await viewer.page.evaluate(() => window.changes);
  for (const since of ["heardAt", "chosenAt"]) {
    const known = changes.filter((change) => change[since] !== null);
    print(since.slice(0, -2), known.map((change) => (change.seenAt ?? Number.POSITIVE_INFINITY) - change[since]));
  }
} finally {
  await browser.close();
  await server.stop();
}

function print(since, took) {
  const sorted = took.map((ms) => Math.max(0, ms)).sort((one, other) => one - other);
  const at = (part) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))]?.toFixed(0);
  console.log(`since ${since}: ${sorted.length} times, ${at(0.5)} ms, 95 of 100 within ${at(0.95)} ms, all within ${at(1)} ms`);
}

// Runs in the page: writes down when the slots are told to have somebody else, and when a picture of theirs is drawn in the first.
function follow(colours) {
  window.changes = [];
  let heard = new Map();
  // Who was in a slot since before they were last chosen is no new one.
  const used = new Set();
  window.room.on("slots", (slots) => {
    const names = slots.flatMap(({ participant }) => (participant ? [participant.name] : []));
    heard = new Map(names.map((name) => [name, heard.get(name) ?? performance.now()]));
  });
  const slot = () => window.room.videoSlots[0];
  const probe = new OffscreenCanvas(8, 8).getContext("2d", { willReadFrequently: true });
  const element = Object.assign(document.createElement("video"), { muted: true, autoplay: true });
  document.body.append(element);
  element.srcObject = new MediaStream([slot().track]);
  let name = slot().participant?.name;
  window.room.on("video", () => {
    const now = slot().participant?.name;
    if (now === name || now === undefined) return;
    name = now;
    const heardAt = used.has(heard.get(name)) ? null : (heard.get(name) ?? null);
    used.add(heardAt);
    window.changes.push({ name, heardAt, chosenAt: performance.now(), seenAt: null });
  });
  const look = () => {
    element.requestVideoFrameCallback(look);
    const last = window.changes.at(-1);
    if (!last || last.seenAt !== null) return;
    probe.drawImage(element, 0, 0, 8, 8);
    const [r, g, b] = probe.getImageData(4, 4, 1, 1).data;
    const [r2, g2, b2] = colours[last.name];
    if (Math.hypot(r - r2, g - g2, b - b2) < 80) last.seenAt = performance.now();
  };
  element.requestVideoFrameCallback(look);
  element.play();
}
