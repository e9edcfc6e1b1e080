// Several servers that are one cluster, on loopback, each with ports of the system's choice.

import { startServer } from "./server.js";
import { sleep } from "./talker.js";

const SECRET = "a-secret-of-the-nodes-that-is-long-enough";
const WHOLE_MS = 20_000;

/** How many bytes a node was sent by others so far. */
export async function receivedBytes({ url }) {
  const metrics = await (await fetch(`${url}/metrics`)).text();
  return Number(metrics.match(/^tercet_cluster_bytes_total\{direction="in"\} (\d+)/m)[1]);
}

/** Starts a node a role, `media`, `all` or `gateway`, and resolves once each knows all others. */
export async function startCluster(...roles) {
  const nodes = [];
  for (const [n, role] of roles.entries()) {
    const seed = nodes.length > 0 ? ["--seed", nodes[0].nodes] : [];
    const own = ["--cluster-secret", SECRET, "--node-id", String(n + 1), "--cluster-udp", "127.0.0.1:0"];
    nodes.push(await startServer(...own, ...seed, "--role", role));
  }
  const end = Date.now() + WHOLE_MS;
  for (const { url } of nodes) {
    while ((await knownNodes(url)) !== nodes.length) {
      if (Date.now() > end) throw new Error(`${url} doesn't know all ${nodes.length} nodes`);
      await sleep(50);
    }
  }
  return { nodes, stop: () => Promise.all(nodes.map((node) => node.stop())) };
}

async function knownNodes(url) {
  const metrics = await (await fetch(`${url}/metrics`)).text();
  return Number(metrics.match(/^tercet_cluster_nodes(?:\{\})? (\d+)/m)?.[1]);
}
