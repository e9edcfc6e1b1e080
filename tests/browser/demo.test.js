// The demo as people use it: join, talk, raise a hand, moderate, break the connection, restart the server. Keeps screenshots in artifacts/.

import assert from "node:assert/strict";
import { mkdir } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { after, afterEach, before, beforeEach, describe, test } from "node:test";
import { openBrowser } from "./lib/browser.js";
import { startServer } from "./lib/server.js";

const artifacts = fileURLToPath(new URL("../../artifacts/", import.meta.url));
const SOON = { timeout: 15_000 };

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
const screenshot = (page, name) => page.screenshot({ path: `${artifacts}${name}.png` });

/** Fills in the form as a person would. */
async function join(room, name, { listener = false, query = "", viewport, colorScheme, at = server.url, page: given } = {}) {
  const page = given ?? (await browser.newPage());
  if (viewport) await page.setViewportSize(viewport);
  if (colorScheme) await page.emulateMedia({ colorScheme });
  await page.goto(`${at}/?room=${room}${query}`);
  await by(page, "join-name").fill(name);
  if (listener) await by(page, "join-listener").check();
  await by(page, "join-button").click();
  await page.waitForFunction(() => window.tercetRoom, undefined, SOON);
  return page;
}

const notice = (page, kind) => page.locator(`[data-testid="notice"][data-kind="${kind}"]`);
const person = (page, id) => page.locator(`[data-testid="participant"][data-participant-id="${id}"]`);
const ownId = (page) => page.evaluate(() => window.tercetRoom.me.id);

describe("the demo", () => {
  test("two tabs join by a link, see who speaks, and hear each other", async () => {
    const ada = await join("kitchen", "Ada", { query: "&tone=440" });
    const ben = await join("kitchen", "Ben", { query: "&tone=660", colorScheme: "dark" });
    const id = await ownId(ada);
    await by(ben, "slot").and(ben.locator(`[data-participant="${id}"]`)).waitFor(SOON);
    await ben.waitForFunction((speaker) => {
      const level = document.querySelector(`[data-participant-id="${speaker}"]`)?.dataset.level;
      return Number(level) > -60 && Number(level) <= 0;
    }, id, SOON);
    // Nobody is in a slot of their own.
    assert.equal(await by(ada, "slot").and(ada.locator(`[data-participant="${id}"]`)).count(), 0);
    await by(ben, "stats-toggle").click();
    await by(ben, "stats").waitFor(SOON);
    await screenshot(ada, "room-light");
    await screenshot(ben, "room-dark");
  });

  test("a listener raises a hand, is promoted, muted and removed", async () => {
    const moderator = await join("stage", "Mo");
    const guest = await join("stage", "Gil", { listener: true, query: "&tone=500", viewport: { width: 360, height: 740 } });
    const id = await ownId(guest);
    assert.equal(await person(moderator, id).getAttribute("data-role"), "listener");
    await by(guest, "hand").click();
    await guest.waitForFunction(() => window.tercetRoom.me.handRaised, undefined, SOON);
    await screenshot(guest, "room-phone");
    const act = async (action) => {
      const button = person(moderator, id).locator(`[data-testid="${action}"]`);
      if (!(await button.isVisible())) await person(moderator, id).locator('[data-testid="actions"]').click();
      await button.click();
    };
    await act("action-lower-hand");
    await notice(guest, "hand").filter({ hasText: "A moderator lowered your hand." }).waitFor(SOON);
    await by(guest, "hand").click();
    await guest.waitForFunction(() => window.tercetRoom.me.handRaised, undefined, SOON);
    // What one did oneself is no news.
    await by(guest, "hand").click();
    await guest.waitForFunction(() => !window.tercetRoom.me.handRaised, undefined, SOON);
    await by(guest, "hand").click();
    assert.equal(await notice(guest, "hand").count(), 0);
    await act("action-promote");
    await moderator.waitForFunction((who) => window.tercetRoom.participants.get(who)?.role === "speaker", id, SOON);
    await by(moderator, "slot").and(moderator.locator(`[data-participant="${id}"]`)).waitFor(SOON);
    await act("action-mute");
    await guest.waitForFunction(() => window.tercetRoom.me.muted, undefined, SOON);
    await notice(guest, "muted").filter({ hasText: "A moderator muted you." }).waitFor(SOON);
    await screenshot(guest, "muted-phone");
    await by(guest, "unmute").click();
    await guest.waitForFunction(() => !window.tercetRoom.me.muted, undefined, SOON);
    await notice(guest, "muted").waitFor({ state: "hidden", ...SOON });
    await guest.keyboard.press("m");
    await guest.waitForFunction(() => window.tercetRoom.me.muted, undefined, SOON);
    assert.equal(await notice(guest, "muted").count(), 0);
    await act("action-demote");
    await notice(guest, "role").filter({ hasText: "A moderator made you a listener." }).waitFor(SOON);
    await act("action-promote");
    await moderator.waitForFunction((who) => window.tercetRoom.participants.get(who)?.role === "speaker", id, SOON);
    await act("action-promote");
    await screenshot(moderator, "two-steps");
    assert.equal(await guest.evaluate(() => window.tercetRoom.me.role), "speaker");
    await person(moderator, id).locator('[data-testid="action-promote"]').click();
    await notice(guest, "role").filter({ hasText: "You are a moderator now." }).waitFor(SOON);
    await act("action-remove");
    assert.equal(await by(guest, "join-button").count(), 0);
    await person(moderator, id).locator('[data-testid="action-remove"]').click();
    await by(guest, "join-button").waitFor(SOON);
    await screenshot(guest, "removed-phone");
  });

  test("a broken connection is said and mended without a reload", async () => {
    const page = await join("cellar", "Cy", { query: "&tone=440" });
    await page.evaluate(() => {
      window.notReloaded = true;
    });
    server.freeze();
    try {
      await page.evaluate(() => window.tercetRoom.webSocket.close());
      // A frozen server closes nothing: the page learns it from a ping, every 10 s, that is not answered within 5 s.
      await by(page, "banner").filter({ hasText: /reconnect/i }).waitFor({ timeout: 30_000 });
      await screenshot(page, "reconnecting");
    } finally {
      server.thaw();
    }
    await page.waitForFunction(() => window.tercetRoom.state === "connected", undefined, SOON);
    await by(page, "banner").filter({ hasText: /reconnect/i }).waitFor({ state: "hidden", ...SOON });
    assert.equal(await page.evaluate(() => window.notReloaded), true);
  });

  test("a wrong token is answered by a sentence", async () => {
    const page = await browser.newPage();
    await page.goto(`${server.url}/?room=vault&token=not-a-token`);
    await by(page, "join-name").fill("Eve");
    await by(page, "join-button").click();
    await by(page, "notice").filter({ hasText: /token/i }).waitFor(SOON);
    await screenshot(page, "wrong-token");
  });
});

test("in a large room those who only listen are a number, until they raise a hand", async () => {
  const own = await startServer("--listed-listeners-max", "0");
  try {
    const mo = await join("hall", "Mo", { at: own.url });
    const gil = await join("hall", "Gil", { listener: true, at: own.url });
    await join("hall", "Liz", { listener: true, at: own.url });
    const more = by(mo, "more");
    await more.filter({ hasText: "and 2 more, who only listen and aren't listed" }).waitFor(SOON);
    assert.equal(await by(mo, "people-count").textContent(), "3");
    assert.equal(await by(mo, "participant").count(), 1);
    await screenshot(mo, "unlisted");
    await by(gil, "hand").click();
    await person(mo, await ownId(gil)).waitFor(SOON);
    await more.filter({ hasText: "and 1 more, who only listens and isn't listed" }).waitFor(SOON);
    await by(gil, "leave").click();
    await mo.waitForFunction(() => window.tercetRoom.participantCount === 2, undefined, SOON);
    await more.filter({ hasText: "and 1 more" }).waitFor(SOON);
  } finally {
    await own.stop();
  }
});

test("after a crash everybody is back in the same room by themselves, muted who was muted", async () => {
  const own = await startServer();
  const { port } = new URL(own.url);
  const enter = (name) => join("hall", name, { at: own.url });
  const ada = await enter("Ada");
  const ben = await enter("Ben");
  await by(ada, "mute").click();
  await ada.waitForFunction(() => window.tercetRoom.me.muted, undefined, SOON);
  await own.stop();
  await by(ada, "banner").filter({ hasText: /reconnect/i }).waitFor(SOON);
  await screenshot(ada, "restart");
  const again = await startServer("--http", `127.0.0.1:${port}`);
  try {
    for (const page of [ada, ben]) {
      await page.waitForFunction(() => window.tercetRoom.state === "connected", undefined, { timeout: 30_000 });
      await by(page, "banner").waitFor({ state: "hidden", ...SOON });
    }
    const me = (page) => page.evaluate(() => ({ name: window.tercetRoom.me.name, muted: window.tercetRoom.me.muted }));
    assert.deepEqual(await me(ada), { name: "Ada", muted: true });
    assert.equal(await ada.evaluate(() => window.tercetRoom.audioTrack.enabled), false);
    assert.deepEqual(await me(ben), { name: "Ben", muted: false });
    await ben.waitForFunction(() => window.tercetRoom.participants.size === 2, undefined, SOON);
    await screenshot(ada, "rejoined");
    // By hand it is the same: the tab has its own name, and is still muted.
    await by(ada, "leave").click();
    await by(ada, "join-button").waitFor(SOON);
    assert.equal(await by(ada, "join-name").inputValue(), "Ada");
    await screenshot(ada, "join-muted");
    await by(ada, "join-button").click();
    await ada.waitForFunction(() => window.tercetRoom?.me.muted, undefined, SOON);
  } finally {
    await again.stop();
  }
});

test("a server that stops says so, and a page joins again when it is back", async () => {
  const own = await startServer();
  const { port } = new URL(own.url);
  const ada = await join("hall", "Ada", { at: own.url });
  const stopped = own.drain();
  await by(ada, "banner").filter({ hasText: "The server is going to stop" }).waitFor(SOON);
  await stopped;
  const again = await startServer("--http", `127.0.0.1:${port}`);
  try {
    await notice(ada, "rejoined").filter({ hasText: "The server stopped. You are back in the room." }).waitFor({ timeout: 30_000 });
    assert.equal(await ada.evaluate(() => window.tercetRoom.me.name), "Ada");
  } finally {
    await again.stop();
  }
});

test("a server that is down is said to be", async () => {
  const own = await startServer();
  const page = await browser.newPage();
  await page.goto(`${own.url}/?room=ruin`);
  await by(page, "join-name").fill("Fay");
  await own.stop();
  await by(page, "join-button").click();
  await by(page, "notice").filter({ hasText: "The server can't be reached. Is it running? Try again." }).waitFor(SOON);
});

test("where UDP is blocked, it is said after ten seconds, and nothing is called broken", async () => {
  const page = await browser.newPage();
  await page.addInitScript(blockUdp);
  await join("tower", "Gus", { page, viewport: { width: 1280, height: 800 } });
  assert.equal(await by(page, "quality").getAttribute("data-quality"), "unknown");
  await screenshot(page, "connecting");
  await by(page, "notice").filter({ hasText: /UDP/ }).waitFor({ timeout: 12_000 });
  assert.equal(await by(page, "banner").isVisible(), false);
  assert.equal(await by(page, "quality").getAttribute("data-quality"), "unknown");
  await screenshot(page, "media-unreachable");
});

// Runs in the page: the server's candidates are at an address for documentation (RFC 5737), which nobody has.
function blockUdp() {
  const { prototype } = RTCPeerConnection;
  const { setRemoteDescription } = prototype;
  prototype.setRemoteDescription = function ({ type, sdp }) {
    return setRemoteDescription.call(this, { type, sdp: sdp.replaceAll(/^(a=candidate:.* )127\.0\.0\.1 /gm, "$1203.0.113.7 ") });
  };
}

test("a refused microphone is said, and one listens all the same", async () => {
  await browser.close();
  browser = await openBrowser({ microphone: false });
  const page = await join("attic", "Di");
  await by(page, "notice").filter({ hasText: /microphone/i }).waitFor(SOON);
  await screenshot(page, "microphone-refused");
});
