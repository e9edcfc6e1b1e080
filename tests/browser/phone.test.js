// Phones in a room of browsers: who hears whom, and never themselves; and what the demo shows of a phone.

import assert from "node:assert/strict";
import { mkdir } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { after, afterEach, before, beforeEach, describe, test } from "node:test";
import { openBrowser } from "./lib/browser.js";
import { startServer } from "./lib/server.js";
import { startSoftphone } from "./lib/softphone.js";
import { joinAs, knownTones, sleep, untilHears } from "./lib/talker.js";

const ADA_HZ = 500;
const BEN_HZ = 900;
// None of the products of the others that distortion would make.
const PHONE_HZ = 1600;
const TONES_HZ = [ADA_HZ, BEN_HZ, PHONE_HZ];

/** How loud browsers are, at most 1: two of them are no work for the limiter. */
const GAIN = 0.2;
/** What a phone hears of such a tone, of -14 dBFS. */
const HEARD_DBFS = -25;
/** What it does not: Opus, made for speech, leaves some noise between tones, at -50 dBFS. */
const UNHEARD_DBFS = -42;

const artifacts = fileURLToPath(new URL("../../artifacts/", import.meta.url));
const SOON = { timeout: 15_000 };

let server;
let browser;
const phones = [];

before(async () => {
  await mkdir(artifacts, { recursive: true });
  server = await startServer("--sip", "127.0.0.1:0");
});
after(() => server?.stop());
beforeEach(async () => {
  browser = await openBrowser();
});
afterEach(async () => {
  await Promise.all(phones.splice(0).map((phone) => phone.stop()));
  await browser?.close();
});

async function call(room, options) {
  const phone = await startSoftphone(options);
  phones.push(phone);
  await phone.dial(server.sipUri(room));
  return phone;
}

/** Of the last two seconds. */
async function assertHears(phone, wanted) {
  const recording = await phone.heard(2);
  const levels = TONES_HZ.map((hz) => [hz, recording.levelDbfs(hz)]);
  const said = `it hears ${levels.map(([hz, level]) => `${hz} Hz at ${level.toFixed(1)}`).join(", ")} dBFS`;
  for (const [hz, level] of levels) {
    if (wanted.includes(hz)) assert.ok(level > HEARD_DBFS, `${hz} Hz is to be heard: ${said}`);
    else assert.ok(level < UNHEARD_DBFS, `${hz} Hz is not to be heard: ${said}`);
  }
}

const participants = (talker) =>
  talker.page.evaluate(() =>
    [...window.room.participants.values()].map(({ name, role, transport }) => ({ name, role, transport })),
  );

async function packetsToPhones() {
  const metrics = await (await fetch(`${server.url}/metrics`)).text();
  return Number(metrics.match(/^tercet_phone_packets_out_total (\d+)/m)[1]);
}

describe("two browsers and a phone", () => {
  for (const codec of ["PCMU", "opus"]) {
    test(`of ${codec} hear each other, and never themselves`, async () => {
      const room = `mixed-${codec}`;
      const ada = await joinAs(browser, server, { room, name: "ada", toneHz: ADA_HZ, gain: GAIN });
      const ben = await joinAs(browser, server, { room, name: "ben", toneHz: BEN_HZ, gain: GAIN });
      const phone = await call(room, { name: "cyd", codec, toneHz: PHONE_HZ });
      await untilHears(ada, [BEN_HZ, PHONE_HZ], TONES_HZ);
      await untilHears(ben, [ADA_HZ, PHONE_HZ], TONES_HZ);
      // And it stays so.
      for (let again = 0; again < 10; again++) {
        await sleep(300);
        assert.deepEqual(await knownTones(ada, TONES_HZ), [BEN_HZ, PHONE_HZ], "ada");
        assert.deepEqual(await knownTones(ben, TONES_HZ), [ADA_HZ, PHONE_HZ], "ben");
      }
      await assertHears(phone, [ADA_HZ, BEN_HZ]);
      assert.deepEqual((await participants(ada)).filter(({ transport }) => transport === "sip"), [
        { name: "cyd", role: "speaker", transport: "sip" },
      ]);
      await phone.hangUp();
      await untilHears(ada, [BEN_HZ], TONES_HZ);
      await ada.until(() => [...window.room.participants.values()].every(({ transport }) => transport === "webrtc"));
    });
  }

  test("that holds: it hears nothing, and isn't heard, until it comes back", async () => {
    const ada = await joinAs(browser, server, { room: "hold", name: "ada", toneHz: ADA_HZ, gain: GAIN });
    const phone = await call("hold", { name: "cyd", codec: "PCMA", toneHz: PHONE_HZ });
    await untilHears(ada, [PHONE_HZ], TONES_HZ);
    await sleep(2500);
    await assertHears(phone, [ADA_HZ]);
    await phone.hold(true);
    await untilHears(ada, [], TONES_HZ);
    // What it hears after this is in no recording: baresip's ends with the first hold.
    const held = await packetsToPhones();
    await sleep(1000);
    assert.equal(await packetsToPhones(), held);
    assert.deepEqual(await knownTones(ada, TONES_HZ), []);
    await phone.hold(false);
    await untilHears(ada, [PHONE_HZ], TONES_HZ);
    const back = await packetsToPhones();
    await sleep(1000);
    const packets = (await packetsToPhones()) - back;
    assert.ok(packets > 40, `${packets} packets in a second`);
  });
});

describe("the demo", () => {
  const by = (of, testId) => of.locator(`[data-testid="${testId}"]`);

  async function join(room, name) {
    const page = await browser.newPage();
    await page.goto(`${server.url}/?room=${room}&tone=${ADA_HZ}`);
    await by(page, "join-name").fill(name);
    await by(page, "join-button").click();
    await page.waitForFunction(() => window.tercetRoom, undefined, SOON);
    return page;
  }

  test("shows a phone as one, mutes it, and hangs up", async () => {
    const page = await join("hall", "Mo");
    const ben = await joinAs(browser, server, { room: "hall", name: "ben", role: "listener" });
    const phone = await call("hall", { name: "cyd", toneHz: PHONE_HZ });
    const person = by(page, "participant").and(page.locator('[data-transport="sip"]'));
    await person.filter({ hasText: "by phone" }).waitFor(SOON);
    assert.equal(await person.locator(".name").textContent(), "cyd");
    assert.equal(await person.locator(".initials svg").count(), 1);
    await untilHears(ben, [ADA_HZ, PHONE_HZ], TONES_HZ);

    await phone.press("*9");
    await person.filter({ hasText: "hand raised" }).waitFor(SOON);
    await page.screenshot({ path: `${artifacts}phone.png` });

    const act = async (action) => {
      await by(person, "actions").click();
      await by(person, `action-${action}`).click();
    };
    await act("mute");
    await person.filter({ hasText: "muted" }).waitFor(SOON);
    await untilHears(ben, [ADA_HZ], TONES_HZ);
    // Only who is muted can undo it, by a key.
    await phone.press("*6");
    await untilHears(ben, [ADA_HZ, PHONE_HZ], TONES_HZ);
    assert.equal(await person.getAttribute("data-muted"), "false");

    await act("remove");
    assert.equal(await by(person, "action-remove").textContent(), "Really hang up?");
    await by(person, "action-remove").click();
    await person.waitFor({ state: "detached", ...SOON });
    await phone.untilLogged("session closed");
    await untilHears(ben, [ADA_HZ], TONES_HZ);
  });
});
