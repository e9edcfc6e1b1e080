// Calls that a moderator makes from the demo: they ring, are answered, busy or refused, and are offered to those who may make them.

import assert from "node:assert/strict";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join as joinPath } from "node:path";
import { after, afterEach, before, beforeEach, test } from "node:test";
import { fileURLToPath } from "node:url";
import { openBrowser } from "./lib/browser.js";
import { moderatorToken, startServer } from "./lib/server.js";
import { startSoftphone } from "./lib/softphone.js";
import { joinAs, sleep, untilHears } from "./lib/talker.js";

const MO_HZ = 500;
// None of the products of the other that distortion would make.
const PHONE_HZ = 1600;
const TONES_HZ = [MO_HZ, PHONE_HZ];

/** What a phone hears of Mo's tone, and what of none, as in phone.test.js. */
const HEARD_DBFS = -25;
const UNHEARD_DBFS = -42;

const artifacts = fileURLToPath(new URL("../../artifacts/", import.meta.url));
const SOON = { timeout: 15_000 };

const PASSWORD = "a-password-of-the-tests";
/** `dan` never registers. Port 9 is nobody's: what is called there is refused, if it is called at all. */
const CONFIGURATION = `
[[sip.user]]
name = "ben"
password = "${PASSWORD}"

[[sip.user]]
name = "dan"
password = "${PASSWORD}"

[[sip.trunk]]
name = "carrier"
host = "127.0.0.1:9"

[[sip.trunk]]
name = "office"
host = "127.0.0.1:9"
`;

let server;
let browser;
let directory;
const phones = [];

before(async () => {
  await mkdir(artifacts, { recursive: true });
  directory = await mkdtemp(joinPath(tmpdir(), "tercet-config-"));
  const file = joinPath(directory, "tercet.toml");
  await writeFile(file, CONFIGURATION);
  server = await startServer("--sip", "127.0.0.1:0", "--config", file);
});
after(async () => {
  await server?.stop();
  await rm(directory, { recursive: true, force: true });
});
beforeEach(async () => {
  browser = await openBrowser();
});
afterEach(async () => {
  await Promise.all(phones.splice(0).map((phone) => phone.stop()));
  await browser?.close();
});

const by = (of, testId) => of.locator(`[data-testid="${testId}"]`);

/** One whom the demo lets in. */
async function join(room, name) {
  const page = await browser.newPage();
  await page.goto(`${server.url}/?room=${room}&tone=${MO_HZ}`);
  return enter(page, name);
}

/** One with the token of a moderator. */
async function moderate(room) {
  const page = await browser.newPage();
  await page.goto(`${server.url}/?token=${await moderatorToken(room, "mo")}&tone=${MO_HZ}`);
  return enter(page, "Mo");
}

async function enter(page, name) {
  await by(page, "join-name").fill(name);
  await by(page, "join-button").click();
  await page.waitForFunction(() => window.tercetRoom, undefined, SOON);
  return page;
}

async function phoneOfBen(options) {
  const phone = await startSoftphone({ name: "ben", ...options });
  phones.push(phone);
  await phone.register("ben", server.sipUri("").replace("sip:@", ""), PASSWORD);
  return phone;
}

/** By keys alone, which is how the dialog has to be usable. */
async function callByKeys(page, to, name = "") {
  await by(page, "call-somebody").focus();
  await page.keyboard.press("Enter");
  await page.keyboard.type(to);
  await page.keyboard.press("Tab");
  const option = await by(page, "dial-trunk").locator("option").last().textContent();
  assert.match(option, /user of this server/);
  await by(page, "dial-trunk").selectOption("");
  await page.keyboard.press("Tab");
  await page.keyboard.type(name);
  await page.keyboard.press("Enter");
}

const rowIn = (page, state) => by(page, "call").and(page.locator(`[data-state="${state}"]`));
const focused = (page) => page.evaluate(() => document.activeElement?.dataset.testid ?? document.activeElement?.id);

test("lets a moderator call somebody, shows the call ringing, and hangs up", async () => {
  const page = await moderate("board");
  const phone = await phoneOfBen({ toneHz: PHONE_HZ });
  const ada = await joinAs(browser, server, { room: "board", name: "ada", role: "listener" });
  await callByKeys(page, "ben", "Benjamin");
  await rowIn(page, "ringing").filter({ hasText: "Benjamin" }).waitFor(SOON);
  assert.equal(await by(page, "call-state").textContent(), "ringing");
  // The dialog has closed, and the focus is where it was before.
  assert.equal(await page.locator("dialog[open]").count(), 0);
  assert.equal(await focused(page), "call-somebody");
  assert.equal(await by(page, "call-hang-up").getAttribute("aria-label"), "Hang up on Benjamin");
  await page.screenshot({ path: `${artifacts}call.png` });

  await phone.accept();
  await rowIn(page, "talking").filter({ hasText: "in the room" }).waitFor(SOON);
  const person = by(page, "participant").and(page.locator('[data-transport="sip"]'));
  await person.filter({ hasText: "by phone" }).waitFor(SOON);
  assert.equal(await person.locator(".name").textContent(), "Benjamin");
  await untilHears(ada, [MO_HZ, PHONE_HZ], TONES_HZ);
  // It is told that it is in the room before it hears who is there.
  await sleep(6000);
  const recording = await phone.heard(2);
  const [mo, own] = TONES_HZ.map((hz) => recording.levelDbfs(hz));
  assert.ok(mo > HEARD_DBFS && own < UNHEARD_DBFS, `Mo at ${mo} dBFS, its own tone at ${own}`);

  await by(page, "call-hang-up").click();
  await rowIn(page, "ended").filter({ hasText: "hung up" }).waitFor(SOON);
  await person.waitFor({ state: "detached", ...SOON });
  await phone.untilLogged("session closed");
  await untilHears(ada, [MO_HZ], TONES_HZ);
  await by(page, "call-hang-up").click();
  await by(page, "calls").waitFor({ state: "hidden" });
  assert.equal(await focused(page), "call-somebody");
});

test("says that somebody is busy, isn't there, or can't be called", async () => {
  const page = await moderate("busy");
  const phone = await phoneOfBen({});
  await callByKeys(page, "ben");
  await rowIn(page, "ringing").waitFor(SOON);
  await phone.hangUp();
  await rowIn(page, "ended").filter({ hasText: "busy" }).waitFor(SOON);
  await callByKeys(page, "dan");
  await rowIn(page, "ended").filter({ hasText: "no phone of theirs is there" }).waitFor(SOON);

  await callByKeys(page, "sip:ben@192.0.2.1");
  await by(page, "dial-notice").filter({ hasText: "neither a number" }).waitFor(SOON);
  assert.equal(await focused(page), "dial-to");
  await page.screenshot({ path: `${artifacts}dial.png` });
  await page.keyboard.press("Escape");
  assert.equal(await page.locator("dialog[open]").count(), 0);
});

test("offers whoever came first users only, and nobody else anything", async () => {
  const first = await join("demo", "First");
  const second = await join("demo", "Second");
  await by(first, "call-somebody").waitFor(SOON);
  assert.equal(await by(second, "call-somebody").isVisible(), false);
  assert.equal(await second.evaluate(() => window.tercetRoom.dialRights), null);
  await by(first, "call-somebody").click();
  assert.equal(await by(first, "dial-trunk").isVisible(), false);
  await by(first, "dial-to").fill("+49 30 123456");
  await by(first, "dial-submit").click();
  await by(first, "dial-notice").filter({ hasText: "only users" }).waitFor(SOON);
  await by(first, "dial-cancel").click();

  // Whoever is made a moderator finds the button, and loses it with the role.
  const id = await second.evaluate(() => window.tercetRoom.me.id);
  await first.evaluate((it) => window.tercetRoom.setRole(it, "moderator"), id);
  await by(second, "call-somebody").waitFor(SOON);
  await first.evaluate((it) => window.tercetRoom.setRole(it, "speaker"), id);
  await by(second, "call-somebody").waitFor({ state: "hidden", ...SOON });
});
