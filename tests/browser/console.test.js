// The console as operators use it: real nodes are drawn, and what is wrong with a token is said. Keeps screenshots in artifacts/.

import assert from "node:assert/strict";
import { mkdir } from "node:fs/promises";
import { after, afterEach, before, beforeEach, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { openBrowser } from "./lib/browser.js";
import { adminToken, startServer } from "./lib/server.js";
import { joinAs } from "./lib/talker.js";

const artifacts = fileURLToPath(new URL("../../artifacts/", import.meta.url));
const SOON = { timeout: 15_000 };
const SECRET = "the secret of the tests of the console";
const CLUSTER_SECRET = "the cluster secret of the tests of the console";

let browser;

before(() => mkdir(artifacts, { recursive: true }));
beforeEach(async () => {
  browser = await openBrowser();
});
afterEach(() => browser?.close());

const by = (page, testId) => page.locator(`[data-testid="${testId}"]`);
const node = (page, id) => by(page, "node").and(page.locator(`[data-key="${id}"]`));
const link = (page, key) => by(page, "link").and(page.locator(`[data-key="${key}"]`));
/** By what stands in its first cell. */
const row = (page, table, name) =>
  by(page, table).locator("tbody tr").filter({ has: page.locator("th", { hasText: new RegExp(`^${name}( |$)`) }) });
const screenshot = (page, name) => page.screenshot({ path: `${artifacts}console-${name}.png` });

/** What the page's policy forbids is an error on the browser's own console. */
async function openConsole(address, { viewport = { width: 1200, height: 900 }, colorScheme = "light", answer } = {}) {
  const page = await browser.newPage();
  page.forbidden = [];
  page.on("console", (message) => /Content Security Policy/.test(message.text()) && page.forbidden.push(message.text()));
  await page.setViewportSize(viewport);
  await page.emulateMedia({ colorScheme });
  if (answer) await page.route("**/v1/cluster", (route) => route.fulfill({ json: answer }));
  await page.goto(address);
  return page;
}

function startNode(number, ...args) {
  const cluster = ["--cluster-secret", CLUSTER_SECRET, "--cluster-udp", "127.0.0.1:0", "--node-id", `${number}`];
  return startServer("--secret", SECRET, "--demo", ...cluster, ...args);
}

describe("with two nodes", () => {
  let first;
  let second;

  before(async () => {
    first = await startNode(1);
    second = await startNode(2, "--seed", first.nodes);
  });
  after(async () => {
    await first?.stop();
    await second?.stop();
  });

  test("what is wrong with a token is said, and none is kept that opens nothing", async () => {
    const page = await openConsole(`${first.url}/console`);
    await by(page, "token").waitFor(SOON);
    assert.equal(await by(page, "refusal").isVisible(), false);
    const enter = async (token) => {
      await by(page, "token").fill(token);
      await by(page, "look").click();
    };
    await enter("not-a-token");
    await by(page, "refusal").filter({ hasText: "This token isn't accepted." }).waitFor(SOON);
    await screenshot(page, "wrong-token");
    const ticket = await page.evaluate(async () => {
      const body = JSON.stringify({ room: "r", name: "Ada" });
      const headers = { "content-type": "application/json" };
      return (await (await fetch("/v1/demo/token", { method: "POST", headers, body })).json()).token;
    });
    await enter(ticket);
    await by(page, "refusal").filter({ hasText: /doesn't let you look in.*tercet token --admin/ }).waitFor(SOON);
    assert.equal(await page.evaluate(() => sessionStorage.length), 0);
    await enter(await adminToken(SECRET));
    await node(page, "0.1").waitFor(SOON);
    assert.equal(await by(page, "token").isVisible(), false);
    await by(page, "forget").click();
    await by(page, "token").waitFor(SOON);
    assert.equal(await by(page, "nodes").isVisible(), false);
    assert.equal(await page.evaluate(() => sessionStorage.length), 0);
    assert.deepEqual(page.forbidden, []);
  });

  test("nodes, their link and rooms are seen, a room's name is text, and who is killed is gone", async () => {
    const room = '<img src="x" onerror="document.title = 1">';
    await joinAs(browser, first, { room, name: "ada", toneHz: 440 });
    // With a slash at its end, as people type it; the token goes with it, and out of the address.
    const page = await openConsole(`${first.url}/console/#token=${await adminToken(SECRET)}`);
    for (const id of ["0.1", "0.2"]) {
      await node(page, id).and(page.locator('[data-state="up"]')).waitFor(SOON);
      await row(page, "nodes", id).filter({ hasText: "● up" }).waitFor(SOON);
    }
    assert.equal(page.url(), `${first.url}/console`);
    await page.reload();
    await row(page, "routes", "0.2").waitFor(SOON);
    await row(page, "links", "0.1 – 0.2").filter({ hasText: /\d ms/ }).waitFor(SOON);
    assert.equal(await page.evaluate(() => localStorage.length), 0);

    await page.keyboard.press("Tab");
    while (!(await page.evaluate(() => document.activeElement?.dataset.key))) await page.keyboard.press("Tab");
    await by(page, "told").filter({ hasText: "Node 0.1, the one that was asked" }).waitFor(SOON);
    await page.keyboard.press("ArrowDown");
    assert.equal(await page.evaluate(() => document.activeElement.dataset.key), "0.1 0.2");
    await by(page, "told").filter({ hasText: /^Link 0\.1 – 0\.2: round trip [\d.]+ ms, / }).waitFor(SOON);
    await screenshot(page, "two-nodes");

    assert.equal(await by(page, "rooms").locator("tbody th").textContent(), room);
    assert.deepEqual(await by(page, "rooms").locator("tbody td").allTextContents(), ["1", "1", "1", "0.1"]);
    assert.equal(await page.locator("img").count(), 0);

    await second.stop();
    await node(page, "0.2").and(page.locator('[data-state="gone"]')).waitFor(SOON);
    await row(page, "nodes", "0.2").filter({ hasText: "✕ gone" }).waitFor(SOON);
    await link(page, "0.1 0.2").waitFor({ state: "detached", ...SOON });
    // The link had the focus.
    assert.equal(await page.evaluate(() => document.activeElement.dataset.key), "0.1");
    await page.emulateMedia({ colorScheme: "dark" });
    await screenshot(page, "gone-dark");
    await first.stop();
    await by(page, "trouble").filter({ hasText: "The server can't be reached. Is it running?" }).waitFor(SOON);
    await screenshot(page, "unreachable-dark");
    assert.deepEqual(page.forbidden, []);
  });
});

describe("with one node", () => {
  let server;

  before(async () => {
    server = await startServer();
  });
  after(() => server?.stop());

  test("a node by itself says so and lists its rooms, and with the development secret nobody is asked for a token", async () => {
    await joinAs(browser, server, { room: "attic", name: "ada" });
    const page = await openConsole(`${server.url}/console`);
    await by(page, "alone").waitFor(SOON);
    await row(page, "rooms", "attic").waitFor(SOON);
    assert.equal(await by(page, "nodes").isVisible(), false);
    assert.equal(await by(page, "token").isVisible(), false);
    await screenshot(page, "alone");
  });

  test("fifty nodes fit a desk and a phone, and are one stop of the Tab key", async () => {
    const answer = fiftyNodes();
    for (const viewport of [{ width: 1280, height: 1200 }, { width: 360, height: 740 }]) {
      const page = await openConsole(`${server.url}/console`, { viewport, answer });
      await node(page, "4.10").waitFor(SOON);
      assert.equal(await by(page, "node").count(), 50);
      assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth));
      assert.equal(await page.locator('[data-testid="graph"] [tabindex="0"]').count(), 1);
      await node(page, "0.1").focus();
      await page.keyboard.press("ArrowRight");
      await by(page, "told").filter({ hasText: "Node 0.2, zone 0" }).waitFor(SOON);
      await screenshot(page, `fifty-${viewport.width}`);
    }
  });
});

/** Five zones of ten, each a mesh, the first nodes of which are another. */
function fiftyNodes() {
  const ids = Array.from({ length: 50 }, (_, index) => ({ zone: Math.floor(index / 10), number: (index % 10) + 1 }));
  const nodes = ids.map(({ zone, number }) => ({
    id: `${zone}.${number}`,
    zone,
    role: "all",
    state: ["up", "up", "up", "strained", "draining"][number % 5],
    http: `https://n${number}.zone${zone}.example.com`,
    sessions: number * 1000,
    sessions_max: 20_000,
    rooms: number * 7,
    version: "0.1.0",
    boot: "1",
  }));
  const links = nodes.flatMap((from) =>
    nodes
      .filter((to) => to !== from && (to.zone === from.zone || (to.id.endsWith(".1") && from.id.endsWith(".1"))))
      .map((to) => ({ from: from.id, to: to.id, rtt_ms: 0.4, loss: to.id === "2.3" ? 0.08 : 0, up_s: null })),
  );
  return { node: "0.1", nodes, zones: [], links, routes: [], rooms: [] };
}
