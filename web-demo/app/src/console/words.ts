// Numbers and states in, what people read out.

import type { Cluster } from "./cluster.js";
import type { ShownNode, ShownState } from "./memory.js";
import { lossOf, type Pair, rttMsOf } from "./pairs.js";

/** A sign beside each colour: states are told apart without colours too. */
export const SIGNS: Record<ShownState, string> = {
  up: "●",
  strained: "▲",
  draining: "▼",
  joining: "○",
  unknown: "?",
  gone: "✕",
};

export const MEANINGS: Record<ShownState, string> = {
  up: "up",
  strained: "strained: takes nobody new",
  draining: "draining: is about to stop",
  joining: "joining: has not said anything yet",
  unknown: "unknown: of another version",
  gone: "gone: not heard of any more",
};

export function count(value: number, one: string, more = `${one}s`): string {
  return `${grouped(value)} ${value === 1 ? one : more}`;
}

export function grouped(value: number): string {
  return value.toLocaleString("en");
}

export function percent(part: number): string {
  const hundredths = part * 100;
  return `${hundredths > 0 && hundredths < 10 ? hundredths.toFixed(1) : hundredths.toFixed(0)} %`;
}

export function millis(ms: number | null): string {
  return ms === null ? "–" : `${ms.toFixed(ms < 10 ? 1 : 0)} ms`;
}

export function duration(seconds: number | null): string {
  if (seconds === null) return "–";
  if (seconds < 120) return `${Math.floor(seconds)} s`;
  if (seconds < 7200) return `${Math.floor(seconds / 60)} min`;
  return seconds < 172_800 ? `${Math.floor(seconds / 3600)} h` : `${Math.floor(seconds / 86_400)} d`;
}

/** How full a node is: 0 to 1. */
export function fullnessOf({ sessions, sessionsMax }: Pick<ShownNode, "sessions" | "sessionsMax">): number {
  return sessionsMax > 0 ? Math.min(1, sessions / sessionsMax) : 0;
}

export function loadOf({ sessions, sessionsMax }: Pick<ShownNode, "sessions" | "sessionsMax">): string {
  return sessionsMax > 0 ? `${grouped(sessions)} of ${grouped(sessionsMax)}` : grouped(sessions);
}

export function sentenceOfNode(node: ShownNode, own: string | null): string {
  const who = node.id === own ? `Node ${node.id}, the one that was asked` : `Node ${node.id}`;
  const version = node.version === null ? "" : `, version ${node.version}`;
  const load = `${loadOf(node)} sessions, ${count(node.rooms, "room")}`;
  return `${who}, zone ${node.zone}: ${MEANINGS[node.state]}; role ${node.role}, ${load}${version}`;
}

export function sentenceOfPair(pair: Pair): string {
  const { a, b, there, back } = pair;
  const way = (from: string, to: string, link: Pair["there"]) =>
    link ? `${percent(link.loss)} lost from ${from} to ${to}` : "";
  const loss = [way(a, b, there), way(b, a, back)].filter(Boolean).join(", ");
  return `Link ${a} – ${b}: round trip ${millis(rttMsOf(pair))}, ${loss}`;
}

/** On a line of the graph. */
export function labelOfPair(pair: Pair): string {
  return `${millis(rttMsOf(pair))} · ${percent(lossOf(pair))} lost`;
}

/** One line over everything. */
export function summaryOf(cluster: Cluster, nodes: readonly ShownNode[], pairs: number): string {
  if (cluster.node === null) return "A node by itself";
  const gone = nodes.filter(({ state }) => state === "gone").length;
  const there = nodes.filter(({ state }) => state !== "gone");
  const sessions = there.reduce((sum, node) => sum + node.sessions, 0);
  const zones = new Set(there.map(({ zone }) => zone)).size;
  const parts = [
    `Seen from ${cluster.node}`,
    count(there.length, "node") + (gone > 0 ? `, ${gone} gone` : ""),
    count(zones, "zone"),
    count(pairs, "link"),
    count(sessions, "session"),
  ];
  return parts.join(" · ");
}
