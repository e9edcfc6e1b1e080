// A room on several nodes, in real browsers: who hears whom across them, and what is heard when a node dies or stops.

import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, test } from "node:test";
import { openBrowser } from "./lib/browser.js";
import { receivedBytes, startCluster } from "./lib/cluster.js";
import { joinWatching, turnOn, untilHeight, untilSees } from "./lib/picture.js";
import { joinAs, sleep, untilHears } from "./lib/talker.js";

const ADA_HZ = 600;
const BEN_HZ = 1500;
const BOTH = [ADA_HZ, BEN_HZ];

/** Two frames: such a hole is in no speech heard as one. */
const GAP_MS_MAX = 40;
/** What a jitter buffer makes up of a voice that ends in the middle of a tone, fading. */
const TAIL_MS_MAX = 400;

let browser;
let cluster;

beforeEach(async () => {
  browser = await openBrowser();
});
afterEach(async () => {
  await browser?.close();
  await cluster?.stop();
});

/** Two who hear each other, Ada by way of the first node and Ben of the second. */
async function twoTalk(room, adaAt = cluster.nodes[0], benAt = cluster.nodes[1]) {
  const ada = await joinAs(browser, adaAt, { room, name: "ada", toneHz: ADA_HZ });
  const ben = await joinAs(browser, benAt, { room, name: "ben", toneHz: BEN_HZ });
  await hearEachOther(ada, ben);
  for (const { page } of [ada, ben]) {
    await page.evaluate(() => {
      window.story = [];
      window.began = performance.now();
      const tell = (what) => window.story.push([Math.round(performance.now() - window.began), what]);
      window.room.on("participantjoined", (p) => tell(`+${p.name}`));
      window.room.on("participantleft", (p, reason) => tell(`-${p.name} ${reason}`));
      window.room.on("statechange", (state) => tell(state));
      window.room.on("closing", () => tell("closing"));
    });
  }
  return { ada, ben };
}

async function hearEachOther(ada, ben) {
  await untilHears(ben, [ADA_HZ], BOTH);
  await untilHears(ada, [BEN_HZ], BOTH);
}

const urlOf = ({ page }) => page.evaluate(() => window.room.url);
const storyOf = ({ page }) => page.evaluate(() => window.story);
const whatHappened = async (talker) => (await storyOf(talker)).map(([, what]) => what);

describe("a room on two nodes", () => {
  test("a camera is seen on the other node, by one who comes later too", async () => {
    cluster = await startCluster("media", "media");
    const [here, there] = cluster.nodes;
    const enter = (node, name, colour) => joinWatching(browser, node, { room: "seen", name, colour });
    const ada = await enter(here, "ada", "red");
    const ben = await enter(there, "ben", "green");
    await untilSees(ben, ["red"]);
    await untilSees(ada, ["green"]);
    // The camera's node is asked for a keyframe.
    const eve = await enter(there, "eve");
    await untilSees(eve, ["red", "green"], 3_000);
    await sleep(2_500);
    const cy = await enter(there, "cy");
    await untilSees(cy, ["red", "green"], 3_000);
  });

  test("of a camera each size crosses to where it is watched, and nowhere else", async (t) => {
    cluster = await startCluster("media", "media", "media");
    const [here, large, small] = cluster.nodes;
    const enter = (node, name) => joinWatching(browser, node, { room: "sizes", name });
    const ada = await enter(here, "ada");
    await turnOn(ada, "red", { width: 1024, height: 576, fps: 20, detail: true });
    const [eve, ben] = [await enter(large, "eve"), await enter(small, "ben")];
    await ben.call("view", { 0: 100 });
    await Promise.all([untilHeight(eve, 576), untilHeight(ben, 144)]);
    // What ben's node had subscribed to before it knew better comes for a while.
    await sleep(3_000);
    const before = await Promise.all([large, small].map(receivedBytes));
    await sleep(4_000);
    const after = await Promise.all([large, small].map(receivedBytes));
    const [largeKbps, smallKbps] = after.map((bytes, n) => Math.round((8 * (bytes - before[n])) / 4_000));
    t.diagnostic(`${largeKbps} kbit/s to the node with the large picture, ${smallKbps} to the other`);
    assert.ok(smallKbps < largeKbps / 2, "both nodes get the large picture");
    // What was no use to ben's node is, as soon as somebody there looks at it.
    await ben.call("view", {});
    await eve.call("view", { 0: 100 });
    const [upMs] = await Promise.all([untilHeight(ben, 576), untilHeight(eve, 144)]);
    t.diagnostic(`large after ${upMs} ms`);
  });

  test("two tabs, one on each, hear each other", async () => {
    cluster = await startCluster("media", "media");
    const { ada, ben } = await twoTalk("across");
    assert.equal(await urlOf(ada), cluster.nodes[0].url);
    assert.equal(await urlOf(ben), cluster.nodes[1].url);
    const names = (talker) => talker.page.evaluate(() => [...window.room.participants.values()].map((p) => p.name).sort());
    assert.deepEqual(await names(ada), ["ada", "ben"]);
    assert.deepEqual(await names(ben), ["ada", "ben"]);
  });

  test("whoever comes to a gateway is sent on to a node that takes them", async () => {
    cluster = await startCluster("media", "gateway");
    const [media, gateway] = cluster.nodes;
    const { ada, ben } = await twoTalk("sent-on", gateway, gateway);
    for (const talker of [ada, ben]) {
      assert.equal(await urlOf(talker), media.url);
      assert.equal(await talker.page.evaluate(() => new URL(window.room.webSocket.url).host), new URL(media.url).host);
    }
  });

  test("of several URLs the first that answers is taken", async () => {
    cluster = await startCluster("media", "media");
    const [one, two] = cluster.nodes;
    await one.stop();
    const sdk = { url: [one.url, two.url] };
    const ada = await joinAs(browser, two, { room: "several", name: "ada", toneHz: ADA_HZ, sdk });
    assert.equal(await urlOf(ada), two.url);
  });
});

test("when a node dies, those on it are back through another within 5 s, and nobody sees them leave", async (t) => {
  cluster = await startCluster("media", "media");
  const [one, two] = cluster.nodes;
  const { ada, ben } = await twoTalk("killed");
  const id = await ada.id();
  const room = await ada.page.evaluateHandle(() => window.room);
  const from = Date.now();
  await one.stop();
  await ada.until(() => window.room.state === "reconnecting");
  await ada.until(() => window.room.state === "connected");
  const backMs = Date.now() - from;
  await hearEachOther(ada, ben);
  const heardMs = Date.now() - from;
  t.diagnostic(`back after ${backMs} ms, heard after ${heardMs} ms; ${JSON.stringify(await storyOf(ada))}`);
  t.diagnostic(`the other tab saw ${JSON.stringify(await storyOf(ben))}`);
  assert.ok(backMs < 5_000 && heardMs < 5_000, `back after ${backMs} ms, heard after ${heardMs} ms`);
  assert.equal(await urlOf(ada), two.url);
  assert.equal(await ada.id(), id);
  assert.ok(await ada.page.evaluate((former) => window.room === former, room));
  assert.deepEqual(await whatHappened(ada), ["reconnecting", "connected"]);
  assert.deepEqual(await whatHappened(ben), []);
});

test("when the only node of a room dies, all who were in it meet again through others within 5 s", async (t) => {
  cluster = await startCluster("all", "all", "all");
  const { ada, ben } = await twoTalk("all-on-one");
  const dead = await urlOf(ada);
  assert.equal(await urlOf(ben), dead, "a small room is together");
  const from = Date.now();
  await cluster.nodes.find(({ url }) => url === dead).stop();
  await Promise.all([ada, ben].map((talker) => talker.until(() => window.room.state === "reconnecting")));
  await Promise.all([ada, ben].map((talker) => talker.until(() => window.room.state === "connected")));
  const backMs = Date.now() - from;
  await hearEachOther(ada, ben);
  const heardMs = Date.now() - from;
  t.diagnostic(`back after ${backMs} ms, heard after ${heardMs} ms; ${JSON.stringify([await storyOf(ada), await storyOf(ben)])}`);
  assert.ok(heardMs < 5_000, `back after ${backMs} ms, heard after ${heardMs} ms`);
});

test("when a node stops, those on it move to another, and neither side hears a gap", async (t) => {
  cluster = await startCluster("media", "media");
  const [one, two] = cluster.nodes;
  const { ada, ben } = await twoTalk("moved");
  const former = await ada.page.evaluateHandle(() => window.room.peerConnection);
  for (const talker of [ada, ben]) await talker.record(BOTH);
  await sleep(2_000);
  // What is usual on this machine, without a move.
  const before = { ada: await ada.recorded(), ben: await ben.recorded() };
  const from = Date.now();
  const stopped = one.drain();
  await ada.until((connection) => window.room.peerConnection !== connection, former);
  const movedMs = Date.now() - from;
  const code = await stopped;
  const stoppedMs = Date.now() - from;
  await sleep(2_000);
  const [ownAtAda, benAtAda] = await ada.recorded();
  const [adaAtBen] = await ben.recorded();
  t.diagnostic(`moved after ${movedMs} ms, the node stopped after ${stoppedMs} ms`);
  t.diagnostic(`before ${JSON.stringify(before)}`);
  t.diagnostic(`ben, as ada hears him: ${JSON.stringify(benAtAda)}; she herself: ${JSON.stringify(ownAtAda)}`);
  t.diagnostic(`ada, as ben hears her: ${JSON.stringify(adaAtBen)}`);
  assert.equal(code, 0);
  assert.equal(await urlOf(ada), two.url);
  await hearEachOther(ada, ben);
  assert.deepEqual(await whatHappened(ada), []);
  assert.deepEqual(await whatHappened(ben), []);
  assert.ok(benAtAda.gapMs <= GAP_MS_MAX, `ada didn't hear ben for ${benAtAda.gapMs} ms`);
  assert.ok(adaAtBen.gapMs <= GAP_MS_MAX, `ben didn't hear ada for ${adaAtBen.gapMs} ms`);
  assert.ok(adaAtBen.loudMs <= TAIL_MS_MAX, `ben heard ada twice for ${adaAtBen.loudMs} ms`);
  assert.ok(ownAtAda.heardMs <= TAIL_MS_MAX, `ada heard herself for ${ownAtAda.heardMs} ms`);
});
