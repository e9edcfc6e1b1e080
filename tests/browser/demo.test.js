// The demo as people use it: join, talk, raise a hand, moderate, break the connection. Keeps screenshots in artifacts/.

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
async function join(room, name, { listener = false, query = "", viewport, colorScheme } = {}) {
  const page = await browser.newPage();
  if (viewport) await page.setViewportSize(viewport);
  if (colorScheme) await page.emulateMedia({ colorScheme });
  await page.goto(`${server.url}/?room=${room}${query}`);
  await by(page, "join-name").fill(name);
  if (listener) await by(page, "join-listener").check();
  await by(page, "join-button").click();
  await page.waitForFunction(() => window.tercetRoom, undefined, SOON);
  return page;
}

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
    await act("action-promote");
    await moderator.waitForFunction((who) => window.tercetRoom.participants.get(who)?.role === "speaker", id, SOON);
    await by(moderator, "slot").and(moderator.locator(`[data-participant="${id}"]`)).waitFor(SOON);
    await act("action-mute");
    await guest.waitForFunction(() => window.tercetRoom.me.muted, undefined, SOON);
    await guest.keyboard.press("m");
    await guest.waitForFunction(() => !window.tercetRoom.me.muted, undefined, SOON);
    await act("action-remove");
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
      await by(page, "banner").filter({ hasText: /reconnect/i }).waitFor(SOON);
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

test("a refused microphone is said, and one listens all the same", async () => {
  await browser.close();
  browser = await openBrowser({ microphone: false });
  const page = await join("attic", "Di");
  await by(page, "notice").filter({ hasText: /microphone/i }).waitFor(SOON);
  await screenshot(page, "microphone-refused");
});
