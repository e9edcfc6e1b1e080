// Starts the real server on loopback, with ports of the system's choice, and ends it by its process id.
// TERCET_BIN names the binary; target/debug/tercet is the default.

import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const root = fileURLToPath(new URL("../../../", import.meta.url));
const binary = process.env.TERCET_BIN ?? `${root}target/debug/tercet`;

const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("TERCET_")));

/** A token to look into a server with. */
export async function adminToken(secret) {
  const args = ["token", "--admin", "--identity", "ops", "--secret", secret];
  return (await promisify(execFile)(binary, args, { env })).stdout.trim();
}

/** A token of a server with this secret. */
export async function participantToken(secret, room, identity, role) {
  const args = ["token", "--secret", secret, "--room", room, "--identity", identity, "--role", role];
  return (await promisify(execFile)(binary, args, { env })).stdout.trim();
}

/** A moderator's token of a server with the development secret. */
export async function moderatorToken(room, identity) {
  const args = ["token", "--room", room, "--identity", identity, "--role", "moderator"];
  return (await promisify(execFile)(binary, args, { env })).stdout.trim();
}

/**
 * Starts a server with two workers, on both of which its rooms are. Returns its base URL, where other nodes reach it if
 * it is one of a cluster, and how to end it.
 */
export async function startServer(...args) {
  const media = args.includes("--media-udp") ? [] : ["--media-udp", "127.0.0.1:0"];
  const http = args.includes("--http") ? [] : ["--http", "127.0.0.1:0"];
  // Who calls in asks for it: the usual port is one, and there are several servers.
  const sip = args.includes("--sip") ? [] : ["--sip", "off"];
  const usual = ["serve", "--workers", "2", "--together-max", "0", ...(args.includes("--log") ? [] : ["--log", "warn"]), ...http, ...media, ...sip];
  const server = spawn(binary, [...usual, ...args], { env, stdio: ["ignore", "pipe", "inherit"] });
  server.on("error", (error) => {
    throw new Error(`${binary} can't be started (\`cargo build -p tercet\` builds it): ${error.message}`);
  });
  const said = [];
  for await (const line of createInterface({ input: server.stdout })) {
    said.push(line);
    if (/^ +access/.test(line)) {
      const [, url] = said.join("\n").match(/(http:\/\/\S+?)\/?\s/);
      return {
        url,
        /** Where it listens for other nodes, if it may have any. */
        nodes: said.join("\n").match(/cluster node .* on UDP (\S+)/)?.[1],
        /** What phones call to be in a room, with `--sip 127.0.0.1:0`. */
        sipUri: (room) => `sip:${room}@${said.join("\n").match(/phones +sip:(?:ROOM@)?(\S+)/)[1]}`,
        /** Stands still, as if the network were gone, until `thaw`. */
        freeze: () => server.kill("SIGSTOP"),
        thaw: () => server.kill("SIGCONT"),
        /** Ends by itself, once those who are on it have left. Resolves to its exit code. */
        drain: () => drain(server),
        stop: () => stop(server),
      };
    }
  }
  throw new Error("the server ended before it was up");
}

/** The same, with a configuration file. */
export async function startServerWith(toml, ...args) {
  const folder = await mkdtemp(join(tmpdir(), "tercet-config-"));
  const path = join(folder, "tercet.toml");
  await writeFile(path, toml);
  const server = await startServer("--config", path, ...args);
  await rm(folder, { recursive: true });
  return server;
}

async function drain(server) {
  server.kill("SIGTERM");
  const [code] = await once(server, "exit");
  return code;
}

async function stop(server) {
  if (server.exitCode === null && server.signalCode === null) {
    server.kill("SIGKILL");
    await once(server, "exit");
  }
}
