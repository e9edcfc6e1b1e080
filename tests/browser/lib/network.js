// A network of its own for a browser, whose addresses a test changes, beside that of the server. For tests that run in a network
// namespace (`in-namespace.sh`), the other end of whose cable goes into this one.

import { execFileSync, spawn } from "node:child_process";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { executablePath } from "./browser.js";

const CABLE = "tercet1";

/** The server's end of it. */
const SERVER_END = "tercet0";

/** A namespace that holds the cable. It goes away with `close`. */
export async function openNetwork() {
  // It keeps the namespace alive, and says when it is there.
  const holder = spawn("unshare", ["--net", "sh", "-c", "echo; exec sleep infinity"], { stdio: ["ignore", "pipe", "inherit"] });
  await once(holder.stdout, "data");
  execFileSync("ip", ["link", "set", CABLE, "netns", String(holder.pid)]);
  const inside = ["--net", "--target", String(holder.pid)];
  const ip = (...words) => execFileSync("nsenter", [...inside, "ip", ...words]);
  ip("link", "set", "lo", "up");
  ip("link", "set", CABLE, "up");
  const folder = await mkdtemp(join(tmpdir(), "tercet-network-"));
  const browser = join(folder, "browser");
  await writeFile(browser, `#!/bin/sh\nexec nsenter ${inside.join(" ")} ${executablePath} "$@"\n`, { mode: 0o700 });
  return {
    /** A program that starts the browser in there. */
    browser,
    /** Its only address from now on. */
    setAddress: (address) => {
      ip("address", "flush", "dev", CABLE);
      ip("address", "add", `${address}/24`, "dev", CABLE);
      ip("route", "replace", "default", "dev", CABLE);
    },
    close: async () => {
      holder.kill("SIGKILL");
      await once(holder, "exit");
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/**
 * What leaves for the other end of the cable has so many kbit/s from now on; with `null` as many as there are. What is too much waits
 * for so long at most, and is lost then.
 */
export function narrow(kbps, queueMs) {
  const tc = (...words) => execFileSync("tc", ["qdisc", ...words], { stdio: ["ignore", "ignore", "pipe"] });
  const shape = ["rate", `${kbps}kbit`, "burst", "6kb", "latency", `${queueMs}ms`];
  if (kbps === null) tc("delete", "dev", SERVER_END, "root");
  else tc("replace", "dev", SERVER_END, "root", "tbf", ...shape);
}

/**
 * A long way to some ports of this machine's, from `port` on: what comes to as many of `address`, from `publicPort` on, goes there so
 * many ms later, and what comes back takes as long. Of the latter, one of so many is lost.
 */
export async function openLongWay({ address, publicPort, port, ports, delayMs = 0, lostOneOf = Infinity }) {
  let random = 1;
  const isLost = () => {
    random = (random * 48_271) % 2_147_483_647;
    return random / 2_147_483_647 < 1 / lostOneOf;
  };
  const sockets = [];
  const open = async (to) => {
    const socket = createSocket("udp4");
    sockets.push(socket);
    socket.bind(to);
    await once(socket, "listening");
    return socket;
  };
  let isOpen = true;
  const later = (send) => setTimeout(() => isOpen && send(), delayMs);
  for (let n = 0; n < ports; n++) {
    const front = await open({ address, port: publicPort + n });
    /** For each client, what the server knows it by. */
    const backs = new Map();
    front.on("message", async (datagram, client) => {
      const key = `${client.address}:${client.port}`;
      if (!backs.has(key)) {
        const opening = open({ address: "127.0.0.1", port: 0 });
        backs.set(key, opening);
        (await opening).on("message", (reply) => isLost() || later(() => front.send(reply, client.port, client.address)));
      }
      const back = await backs.get(key);
      later(() => back.send(datagram, port + n, "127.0.0.1"));
    });
  }
  return {
    close: () => {
      isOpen = false;
      for (const socket of sockets) socket.close();
    },
  };
}
