// A network that lets no UDP through: media comes over TCP. Runs in a network namespace, whose firewall is the test's.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { after, before, test } from "node:test";
import { openBrowser } from "../lib/browser.js";
import { startServer } from "../lib/server.js";
import { joinAs, untilHears } from "../lib/talker.js";

let server;
let browser;

before(async () => {
  const secret = "a-secret-of-the-tests-that-is-long-enough";
  server = await startServer("--media-udp", "10.77.0.1:0", "--secret", secret, "--demo");
  browser = await openBrowser();
  const nft = (...words) => execFileSync("nft", words);
  nft("add", "table", "inet", "firewall");
  nft("add", "chain", "inet", "firewall", "output", "{ type filter hook output priority 0 ; }");
  nft("add", "rule", "inet", "firewall", "output", "meta", "l4proto", "udp", "counter", "drop");
});
after(async () => {
  await browser?.close();
  await server?.stop();
});

/** The protocol of the candidates that media takes. */
const protocolOf = (talker) =>
  talker.page.evaluate(async () => {
    const stats = await window.room.peerConnection.getStats();
    const transport = [...stats.values()].find((stat) => stat.type === "transport");
    const pair = stats.get(transport.selectedCandidatePairId);
    return stats.get(pair.remoteCandidateId).protocol;
  });

test("without UDP, pages hear each other over TCP", async () => {
  const one = await joinAs(browser, server, { room: "tcp", name: "one", toneHz: 600 });
  const other = await joinAs(browser, server, { room: "tcp", name: "other", toneHz: 1500 });
  await untilHears(one, [1500], [600, 1500]);
  await untilHears(other, [600], [600, 1500]);
  assert.deepEqual([await protocolOf(one), await protocolOf(other)], ["tcp", "tcp"]);
});
