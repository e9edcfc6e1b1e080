// Links as each end measures them in, pairs of nodes out: a line in the graph and a row in the table are one pair.

import { compareIds, type Link } from "./cluster.js";

export interface Pair {
  key: string;
  /** The lesser id. */
  a: string;
  b: string;
  /** From `a` to `b`, as `a` measures it; `null` where nothing is known of that. */
  there: Link | null;
  back: Link | null;
}

/** How a line is drawn: `clean` thin, `lossy` thicker and dashed, `bad` thick and dotted. */
export type Grade = "clean" | "lossy" | "bad";

/** Opus conceals some loss; a node that has a choice takes another way long before the second. */
const LOSSY = 0.005;
const BAD = 0.05;

export function pairUp(links: readonly Link[]): Pair[] {
  const pairs = new Map<string, Pair>();
  for (const link of links) {
    const isThere = compareIds(link.from, link.to) < 0;
    const [a, b] = isThere ? [link.from, link.to] : [link.to, link.from];
    const key = `${a} ${b}`;
    const pair = pairs.get(key) ?? { key, a, b, there: null, back: null };
    pairs.set(key, isThere ? { ...pair, there: link } : { ...pair, back: link });
  }
  return [...pairs.values()].sort((x, y) => compareIds(x.a, y.a) || compareIds(x.b, y.b));
}

/** In the direction in which it is worse. */
export function lossOf({ there, back }: Pair): number {
  return Math.max(there?.loss ?? 0, back?.loss ?? 0);
}

/** As the end measures it that sees it longer. */
export function rttMsOf({ there, back }: Pair): number | null {
  const measured = [there?.rttMs, back?.rttMs].filter((rtt) => typeof rtt === "number");
  return measured.length > 0 ? Math.max(...measured) : null;
}

export function gradeOf(loss: number): Grade {
  return loss < LOSSY ? "clean" : loss < BAD ? "lossy" : "bad";
}

/** The worst of many: a table that can't hold all has those that somebody looks for. */
export function worstOf(pairs: readonly Pair[], count: number): Pair[] {
  if (pairs.length <= count) return [...pairs];
  const worst = [...pairs].sort(
    (x, y) => lossOf(y) - lossOf(x) || (rttMsOf(y) ?? 0) - (rttMsOf(x) ?? 0) || 0,
  );
  return worst.slice(0, count);
}
