// A client that may use nothing but a relay: coturn, to which the server gives it credentials. Runs in a network namespace.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { openBrowser } from "../lib/browser.js";
import { startServer } from "../lib/server.js";
import { joinAs, sleep, untilHears } from "../lib/talker.js";

const RELAY_SECRET = "a-secret-of-the-relay";

let folder;
let relay;
let server;
let browser;

async function startRelay() {
  folder = await mkdtemp(join(tmpdir(), "tercet-coturn-"));
  const settings = ["-n", "--listening-ip=10.77.0.1", "--relay-ip=10.77.0.1", "--realm=tercet", "--use-auth-secret"];
  const quiet = ["--no-cli", "--no-tls", "--no-dtls", "--log-file=stdout", `--pidfile=${join(folder, "pid")}`];
  const own = [`--static-auth-secret=${RELAY_SECRET}`, `--userdb=${join(folder, "db")}`];
  relay = spawn("turnserver", [...settings, ...quiet, ...own], { stdio: "ignore" });
  for (let again = 0; again < 100; again++) {
    const socket = connect(3478, "10.77.0.1");
    const isUp = await once(socket, "connect").then(
      () => true,
      () => false,
    );
    socket.destroy();
    if (isUp) return;
    await sleep(50);
  }
  throw new Error("coturn did not come up");
}

before(async () => {
  await startRelay();
  const secret = "a-secret-of-the-tests-that-is-long-enough";
  const urls = "turn:10.77.0.1:3478,turn:10.77.0.1:3478?transport=tcp";
  const turn = ["--turn", urls, "--turn-secret", RELAY_SECRET];
  server = await startServer("--media-udp", "10.77.0.1:0", "--secret", secret, "--demo", ...turn);
  browser = await openBrowser();
});
after(async () => {
  await browser?.close();
  await server?.stop();
  if (relay?.exitCode === null) {
    relay.kill("SIGKILL");
    await once(relay, "exit");
  }
  if (folder) await rm(folder, { recursive: true, force: true });
});

/** The type of the candidate that media is sent from. */
const typeOf = (talker) =>
  talker.page.evaluate(async () => {
    const stats = await window.room.peerConnection.getStats();
    const transport = [...stats.values()].find((stat) => stat.type === "transport");
    const pair = stats.get(transport.selectedCandidatePairId);
    return stats.get(pair.localCandidateId).candidateType;
  });

test("pages hear each other through coturn, with credentials of the server's", async () => {
  const sdk = { iceTransportPolicy: "relay" };
  const one = await joinAs(browser, server, { room: "relayed", name: "one", toneHz: 600, sdk });
  const other = await joinAs(browser, server, { room: "relayed", name: "other", toneHz: 1500, sdk });
  await untilHears(one, [1500], [600, 1500]);
  await untilHears(other, [600], [600, 1500]);
  assert.deepEqual([await typeOf(one), await typeOf(other)], ["relay", "relay"]);
});
