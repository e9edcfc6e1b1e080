// Cameras in the demo: on and off, who is seen large, what a moderator does, and how it looks. Keeps screenshots in artifacts/.

import assert from "node:assert/strict";
import { mkdir } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { after, afterEach, before, beforeEach, test } from "node:test";
import { openBrowser } from "./lib/browser.js";
import { startServer } from "./lib/server.js";

const artifacts = fileURLToPath(new URL("../../artifacts/", import.meta.url));
const SOON = { timeout: 45_000 };
const DESK = { width: 1440, height: 900 };
const PHONE = { width: 390, height: 844 };

let server;
let browser;

before(async () => {
  await mkdir(artifacts, { recursive: true });
  server = await startServer();
});
after(() => server?.stop());
beforeEach(async () => {
  browser = await openBrowser();
});
afterEach(() => browser?.close());

const by = (page, testId) => page.locator(`[data-testid="${testId}"]`);
const notice = (page, kind) => page.locator(`[data-testid="notice"][data-kind="${kind}"]`);
const person = (page, id) => page.locator(`[data-testid="participant"][data-participant-id="${id}"]`);
const tile = (page, id) => page.locator(`[data-testid="video-slot"][data-participant="${id}"]`);
const ownId = (page) => page.evaluate(() => window.tercetRoom.me.id);
const screenshot = (page, name) => page.screenshot({ path: `${artifacts}${name}.png` });

/** Enters the demo, with a camera that shows a face on a ground of this hue; without a hue with the browser's own. */
async function join(room, name, { hue = null, query = "", listener = false, viewport = DESK, colorScheme = "light" } = {}) {
  const page = await browser.newPage();
  await page.setViewportSize(viewport);
  await page.emulateMedia({ colorScheme });
  if (hue !== null) await page.addInitScript(pretendCamera, hue);
  await page.goto(`${server.url}/?room=${room}${query}`);
  await by(page, "join-name").fill(name);
  if (listener) await by(page, "join-listener").check();
  await by(page, "join-button").click();
  await page.waitForFunction(() => window.tercetRoom, undefined, SOON);
  return page;
}

/** Whoever it is, their picture is there and moves. */
async function untilSeen(page, id) {
  await tile(page, id).and(page.locator('[data-dark="false"]')).waitFor(SOON);
  const frames = () =>
    page.evaluate((who) => {
      const video = document.querySelector(`[data-testid="video-slot"][data-participant="${who}"] video`);
      return video?.getVideoPlaybackQuality().totalVideoFrames ?? 0;
    }, id);
  const before = await frames();
  await page.waitForFunction(([who, count]) => {
    const video = document.querySelector(`[data-testid="video-slot"][data-participant="${who}"] video`);
    return video?.getVideoPlaybackQuality().totalVideoFrames > count;
  }, [id, before], SOON);
}

test("people see each other, choose whom to watch, and a moderator turns a camera off", async () => {
  const mo = await join("sofa", "Mo Weber", { hue: 20, query: "&tone=440&gain=0.01" });
  const ben = await join("sofa", "Ben", { hue: 210, query: "&tone=660&gain=0.5" });
  const cy = await join("sofa", "Cy", { hue: 130, query: "&tone=880&gain=0.01" });
  const liz = await join("sofa", "Liz", { listener: true, viewport: PHONE, colorScheme: "dark" });
  // Nobody has a camera: there is no stage.
  assert.equal(await by(mo, "pictures").isVisible(), false);
  assert.equal(await by(liz, "camera").isDisabled(), true);
  await screenshot(mo, "video-none-desk");

  await by(mo, "camera").click();
  await by(mo, "preview").waitFor(SOON);
  await screenshot(mo, "video-alone-desk");
  const [moId, benId, cyId] = await Promise.all([mo, ben, cy].map(ownId));
  await untilSeen(ben, moId);
  await ben.keyboard.press("v");
  await untilSeen(mo, benId);
  await by(cy, "camera").click();
  for (const page of [mo, ben]) await untilSeen(page, cyId);
  for (const id of [moId, benId, cyId]) await untilSeen(liz, id);
  // Nobody has a tile of their own.
  assert.equal(await tile(mo, moId).count(), 0);
  // Ben speaks.
  const first = (page) => page.locator('[data-testid="video-slot"][data-index="0"]');
  for (const page of [mo, cy, liz]) await first(page).and(page.locator(`[data-participant="${benId}"]`)).waitFor(SOON);
  await by(mo, "stats-toggle").click();
  await by(mo, "stats").filter({ hasText: "fps" }).waitFor(SOON);
  await screenshot(mo, "video-desk");
  await screenshot(liz, "video-phone");

  await tile(liz, cyId).getByRole("button", { name: "Watch Cy" }).click();
  await first(liz).and(liz.locator(`[data-participant="${cyId}"]`)).waitFor(SOON);
  await first(liz).getByRole("button", { name: "Watch Cy", pressed: true }).waitFor(SOON);
  await untilSeen(liz, cyId);
  await screenshot(liz, "video-watch-phone");
  await first(liz).getByRole("button").click();
  await first(liz).and(liz.locator(`[data-participant="${benId}"]`)).waitFor(SOON);
  // At a person it is the same, by the keyboard too.
  await person(mo, cyId).locator('[data-testid="watch"]').focus();
  await mo.keyboard.press("Enter");
  await first(mo).and(mo.locator(`[data-participant="${cyId}"]`)).waitFor(SOON);
  await untilSeen(mo, cyId);
  await screenshot(mo, "video-watch-desk");
  await person(mo, cyId).locator('[data-testid="watch"]').click();
  await first(mo).and(mo.locator(`[data-participant="${benId}"]`)).waitFor(SOON);

  await person(mo, benId).locator('[data-testid="actions"]').click();
  await screenshot(mo, "video-menu-desk");
  await person(mo, benId).locator('[data-testid="action-camera-off"]').click();
  await notice(ben, "camera").filter({ hasText: "A moderator turned your camera off." }).waitFor(SOON);
  assert.equal(await ben.evaluate(() => window.tercetRoom.videoTrack), null);
  await tile(mo, benId).waitFor({ state: "detached", ...SOON });
  await by(ben, "camera-on").click();
  await untilSeen(mo, benId);
  await notice(ben, "camera").waitFor({ state: "hidden", ...SOON });

  for (const page of [mo, ben, cy]) await by(page, "camera").click();
  for (const page of [mo, ben, cy, liz]) await by(page, "pictures").waitFor({ state: "hidden", ...SOON });
});

test("the browser's own camera is shown to oneself, and stopped with the room", async () => {
  const ada = await join("mirror", "Ada", { viewport: PHONE });
  await by(ada, "camera").click();
  await by(ada, "preview").waitFor(SOON);
  await ada.waitForFunction(() => document.querySelector('[data-testid="preview"] video').videoWidth > 0, undefined, SOON);
  await screenshot(ada, "video-alone-phone");
  await ada.evaluate(() => {
    window.camera = window.tercetRoom.videoTrack;
  });
  await by(ada, "leave").click();
  await by(ada, "join-button").waitFor(SOON);
  assert.equal(await ada.evaluate(() => window.camera.readyState), "ended");
});

test("a refused camera is said", async () => {
  await browser.close();
  browser = await openBrowser({ microphone: false });
  const page = await join("attic", "Di", { listener: false, query: "&tone=440" });
  await by(page, "camera").click();
  await notice(page, "camera").filter({ hasText: "The camera was refused." }).waitFor(SOON);
  assert.equal(await by(page, "pictures").isVisible(), false);
  await screenshot(page, "camera-refused");
});

// Runs in the page.
function pretendCamera(hue) {
  const real = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
  navigator.mediaDevices.getUserMedia = async (constraints) => {
    if (!constraints.video) return real(constraints);
    const canvas = Object.assign(document.createElement("canvas"), { width: 320, height: 180 });
    const pen = canvas.getContext("2d");
    // Drawn as if it were 480 wide.
    pen.scale(2 / 3, 2 / 3);
    let n = 0;
    const disc = (x, y, radius, colour) => {
      pen.fillStyle = colour;
      pen.beginPath();
      pen.arc(x, y, radius, 0, 7);
      pen.fill();
    };
    const draw = () => {
      n++;
      pen.fillStyle = `hsl(${hue} 40% 45%)`;
      pen.fillRect(0, 0, 480, 270);
      disc(240, 300, 130, `hsl(${hue} 60% 25%)`);
      disc(240 + 3 * Math.sin(n / 3), 120, 65, "hsl(28 55% 72%)");
      disc(218, 110, 7, "#222");
      disc(262, 110, 7, "#222");
      disc(240, 145, 4 + (n % 8), "#822");
    };
    draw();
    const drawing = setInterval(draw, 200);
    const stream = canvas.captureStream(5);
    const [track] = stream.getVideoTracks();
    const { stop } = track;
    track.stop = () => {
      clearInterval(drawing);
      stop.call(track);
    };
    return stream;
  };
}
