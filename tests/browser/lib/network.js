// A network of its own for a browser, whose addresses a test changes, beside that of the server. For tests that run in a network
// namespace (`in-namespace.sh`), the other end of whose cable goes into this one.

import { execFileSync, spawn } from "node:child_process";
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

/** What leaves for the other end of the cable has so many kbit/s from now on; with `null` as many as there are. */
export function narrow(kbps) {
  const tc = (...words) => execFileSync("tc", ["qdisc", ...words], { stdio: ["ignore", "ignore", "pipe"] });
  const shape = ["rate", `${kbps}kbit`, "burst", "6kb", "latency", "400ms"];
  if (kbps === null) tc("delete", "dev", SERVER_END, "root");
  else tc("replace", "dev", SERVER_END, "root", "tbf", ...shape);
}

/** Of what leaves for the other end of the cable one packet of so many is lost from now on; with `null` none. */
export function lose(oneOf) {
  const nft = (text) => execFileSync("nft", ["-f", "-"], { input: text });
  nft("table netdev tercet\ndelete table netdev tercet\n");
  if (oneOf === null) return;
  const chain = `chain out { type filter hook egress device "${SERVER_END}" priority 0; numgen random mod ${oneOf} 0 drop; }`;
  nft(`table netdev tercet { ${chain} }\n`);
}
