// Shared sound in real browsers: heard beside the talkers, one share at a time; and the demo, which shares pictures too.

import assert from "node:assert/strict";
import { after, afterEach, before, beforeEach, describe, test } from "node:test";
import { openBrowser } from "./lib/browser.js";
import { startServer, startServerWith } from "./lib/server.js";
import { joinAs, knownTones, untilHears } from "./lib/talker.js";

const SOON = { timeout: 15_000 };

let server;
let browser;

before(async () => {
  server = await startServer("--slots", "1");
});
after(() => server?.stop());
beforeEach(async () => {
  browser = await openBrowser();
});
afterEach(() => browser?.close());

describe("a shared sound", () => {
  test("is heard beside the talker, by everybody but its sharer, until another may be", async () => {
    const talker = await joinAs(browser, server, { room: "film", name: "talker", toneHz: 500 });
    const first = await joinAs(browser, server, { room: "film", name: "first" });
    const second = await joinAs(browser, server, { room: "film", name: "second" });
    await untilHears(first, [500], [500]);
    await first.share(1100);
    await untilHearsScreen(talker, 1100);
    await untilHearsScreen(second, 1100);
    const [id, secondId] = [await first.id(), await second.id()];
    await second.until((sharer) => window.room.screen.participant?.id === sharer, id);
    // The only slot is still the talker's, and the sharer hears nothing of their own.
    assert.deepEqual(await knownTones(second, [500, 1100]), [500]);
    assert.equal(await screenHz(first), null);

    await second.share(1700);
    await talker.until((sharer) => window.room.participants.get(sharer)?.tracks.some((t) => t.origin === "screen"), secondId);
    await untilHearsScreen(talker, 1100);
    await first.share(null);
    await untilHearsScreen(talker, 1700);
    await untilHearsScreen(first, 1700);
    assert.equal(await talker.page.evaluate(() => window.room.screen.participant.name), "second");
    for (const page of [talker, first, second]) assert.equal(await page.page.evaluate(() => window.negotiations), 0);

    // It goes on over another peer connection.
    const former = await second.page.evaluateHandle(() => window.room.peerConnection);
    await second.page.evaluate(() => {
      window.room.peerConnection.close();
      window.dispatchEvent(new Event("online"));
    });
    await second.until((pc) => {
      const { peerConnection, state } = window.room;
      return peerConnection !== pc && peerConnection.connectionState === "connected" && state === "connected";
    }, former);
    await talker.until((sharer) => window.room.screen.participant?.id === sharer, secondId);
    await untilHearsScreen(talker, 1700);
    await second.call("muteScreen", true);
    await untilHearsScreen(talker, null);
    await talker.until((sharer) => window.room.participants.get(sharer)?.screenMuted, secondId);
  });
});

describe("the demo", () => {
  test("shares the sound of a tab, which a moderator silences and its sharer lets be heard", async () => {
    const moderator = await join("gig", "Mo");
    const guest = await join("gig", "Gil");
    const id = await guest.evaluate(() => window.tercetRoom.me.id);
    await by(guest, "share").click();
    await by(moderator, "screen").filter({ hasText: "Gil shares sound" }).waitFor(SOON);
    await by(guest, "screen").filter({ hasText: "You share your screen and its sound" }).waitFor(SOON);
    // A second share waits, and says so.
    await by(moderator, "share").click();
    await by(moderator, "screen").filter({ hasText: "Gil shares sound; yours is heard when they stop" }).waitFor(SOON);
    await by(moderator, "share").click();
    await by(moderator, "screen").filter({ hasText: /^Gil shares sound$/ }).waitFor(SOON);
    const plays = () => [...document.querySelectorAll(".verses audio")].at(-1).srcObject.getTracks()[0];
    assert.equal(await moderator.evaluate(`(${plays})() === window.tercetRoom.screen.track`), true);

    const person = moderator.locator(`[data-testid="participant"][data-participant-id="${id}"]`);
    await person.filter({ hasText: "shares sound" }).waitFor(SOON);
    await person.locator('[data-testid="actions"]').click();
    await person.locator('[data-testid="action-silence"]').click();
    await notice(guest, "screen").filter({ hasText: "A moderator silenced" }).waitFor(SOON);
    await by(moderator, "screen").waitFor({ state: "hidden", ...SOON });
    await by(guest, "unmute-screen").click();
    await by(moderator, "screen").waitFor(SOON);
    await by(guest, "share").filter({ hasText: "Stop sharing" }).click();
    await by(moderator, "screen").waitFor({ state: "hidden", ...SOON });
    await by(guest, "share").filter({ hasText: "Share screen" }).waitFor(SOON);
  });

  test("shows a shared screen first and large, until a moderator or its sharer stops it", async () => {
    const moderator = await join("slides", "Mo");
    const guest = await join("slides", "Gil");
    const id = await guest.evaluate(() => window.tercetRoom.me.id);
    const screen = moderator.locator(`[data-testid="video-slot"][data-index="0"][data-origin="screen_video"]`);
    await pickSilence(guest);
    await by(guest, "share").click();
    await by(guest, "screen").filter({ hasText: "You share your screen" }).waitFor(SOON);
    // What moves in it is theirs.
    await screen.and(moderator.locator(`[data-participant="${id}"][data-dark="false"]`)).waitFor(SOON);

    const person = moderator.locator(`[data-testid="participant"][data-participant-id="${id}"]`);
    await person.locator('[data-testid="actions"]').click();
    await person.locator('[data-testid="action-screen-off"]').click();
    await notice(guest, "screen-video").waitFor(SOON);
    await screen.waitFor({ state: "detached", ...SOON });
    assert.equal(await guest.evaluate(() => window.tercetRoom.sharedVideo), null);

    await by(guest, "share").click();
    await screen.waitFor(SOON);
    await by(guest, "share").filter({ hasText: "Stop sharing" }).click();
    await screen.waitFor({ state: "detached", ...SOON });
  });

  test("where there are no pictures, it says so when what was chosen has no sound", async () => {
    const own = await startServerWith("[room]\nvideo_slots = 0\n");
    try {
      const page = await join("quiet", "Di", own);
      await pickSilence(page);
      await by(page, "share").click();
      await notice(page, "share").filter({ hasText: "without sound" }).waitFor(SOON);
      const shared = await page.evaluate(() => [window.tercetRoom.sharedAudio, window.tercetRoom.sharedVideo]);
      assert.deepEqual(shared, [null, null]);
    } finally {
      await own.stop();
    }
  });
});

const by = (page, testId) => page.locator(`[data-testid="${testId}"]`);
const notice = (page, kind) => page.locator(`[data-testid="notice"][data-kind="${kind}"]`);

/** What is picked from now on has no sound. */
const pickSilence = (page) =>
  page.evaluate(() => {
    window.pickedSounds = 0;
  });

/** Enters the demo, in a page whose picker is answered with a picture that moves, and a tone. */
async function join(room, name, at = server) {
  const page = await browser.newPage();
  await page.addInitScript(answerPicker);
  await page.goto(`${at.url}/?room=${room}`);
  await by(page, "join-name").fill(name);
  await by(page, "join-button").click();
  await page.waitForFunction(() => window.tercetRoom, undefined, SOON);
  return page;
}

// Runs in the page. A headless browser has no picker.
function answerPicker() {
  window.pickedSounds = 1;
  navigator.mediaDevices.getDisplayMedia = async () => {
    const audio = new AudioContext();
    const picture = document.createElement("canvas");
    const pen = picture.getContext("2d");
    let n = 0;
    setInterval(() => {
      pen.fillStyle = `hsl(${10 * n++} 50% 50%)`;
      pen.fillRect(0, 0, picture.width, picture.height);
    }, 100);
    const tracks = picture.captureStream().getTracks();
    if (window.pickedSounds > 0) {
      const oscillator = new OscillatorNode(audio, { frequency: 900 });
      const sound = new MediaStreamAudioDestinationNode(audio);
      oscillator.connect(sound);
      oscillator.start();
      tracks.push(...sound.stream.getTracks());
    }
    return new MediaStream(tracks);
  };
}

/** The tone in the screen slot; `null` where there is silence. */
const screenHz = (talker) => talker.page.evaluate(() => window.listenToScreen());

async function untilHearsScreen(talker, wantedHz) {
  await talker.until((wanted) => {
    const hz = window.listenToScreen();
    return wanted === null ? hz === null : hz !== null && Math.abs(hz - wanted) < 40;
  }, wantedHz);
}
