// How long after the selector chose a new speaker their picture is seen, in the large slot: four who speak in turn, and one who
// watches. Prints the median, the 95th percentile and the longest, in ms.
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

/** Longer than a position is held. */
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
  const took = [];
  for (let turn = 0; turn < turns; turn++) {
    await speakers[turn % speakers.length].setGain(0.4);
    await sleep(TURN_MS);
    await speakers[turn % speakers.length].setGain(0);
    const change = await viewer.page.evaluate(() => window.changes.at(-1));
    if (change?.name !== colours[turn % colours.length]) console.log(`turn ${turn}: nobody new was chosen`);
  }
  await sleep(TURN_MS);
  const changes = await viewer.page.evaluate(() => window.changes);
  for (const { chosenAt, seenAt } of changes) took.push(seenAt === null ? Number.POSITIVE_INFINITY : Math.max(0, seenAt - chosenAt));
  took.sort((one, other) => one - other);
  const at = (part) => took[Math.min(took.length - 1, Math.floor(took.length * part))]?.toFixed(0);
  console.log(`${took.length} changes: ${at(0.5)} ms, 95 of 100 within ${at(0.95)} ms, all within ${at(1)} ms`);
} finally {
  await browser.close();
  await server.stop();
}

// Runs in the page: writes down when the first slot is told to have somebody else, and when a picture of theirs is drawn there.
function follow(colours) {
  window.changes = [];
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
    window.changes.push({ name, chosenAt: performance.now(), seenAt: null });
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
