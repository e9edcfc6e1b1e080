// What each answer says of the nodes in, the nodes to show out: those that have vanished are shown as gone for a while.

import { byId, type ClusterNode, type NodeState } from "./cluster.js";

export type ShownState = NodeState | "gone";

export interface ShownNode extends Omit<ClusterNode, "state"> {
  state: ShownState;
}

/** Long enough to be noticed, and to see a restart through. */
export const GONE_MS = 30_000;

export class Memory {
  readonly #known = new Map<string, { node: ClusterNode; goneAtMs: number | null }>();

  /** Of answers at ascending times. */
  see(nowMs: number, nodes: readonly ClusterNode[]): ShownNode[] {
    const there = new Set(nodes.map(({ id }) => id));
    for (const [id, known] of this.#known) {
      if (there.has(id)) continue;
      known.goneAtMs ??= nowMs;
      if (nowMs - known.goneAtMs >= GONE_MS) this.#known.delete(id);
    }
    for (const node of nodes) this.#known.set(node.id, { node, goneAtMs: null });
    return [...this.#known.values()]
      .map(({ node, goneAtMs }): ShownNode => (goneAtMs === null ? node : { ...node, state: "gone" }))
      .sort(byId);
  }
}

/** What changed, in sentences. */
export function newsOf(before: readonly ShownNode[], after: readonly ShownNode[]): string[] {
  const earlier = new Map(before.map((node) => [node.id, node]));
  return after.flatMap((node) => {
    const was = earlier.get(node.id);
    if (!was) return [`Node ${node.id} is new.`];
    if (was.state !== node.state) return [`Node ${node.id} is ${node.state}.`];
    return was.boot === node.boot ? [] : [`Node ${node.id} was restarted.`];
  });
}
