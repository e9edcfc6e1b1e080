// Who is shown large. Everybody in the room comes in, those on stage and the rest go out: in a room of hundreds only
// so many faces tell something. The order on stage follows hands and arrival, never loudness, so that nothing jumps
// while people speak.

import type { Participant } from "@tercet/sdk";

export const STAGE_MAX = 24;

export interface Seen {
  participant: Participant;
  /** Counts up with each arrival. */
  arrival: number;
  /** When their hand was raised, counted up likewise; 0 while it isn't. */
  hand: number;
  /** When they were last heard, in ms; 0 before. */
  heardAt: number;
}

export function rank(everybody: readonly Seen[], meId: string): { stage: Seen[]; rest: Seen[] } {
  const mayBeOnStage = (seen: Seen) =>
    seen.participant.id === meId || seen.hand > 0 || seen.participant.role !== "listener";
  const candidates = everybody.filter(mayBeOnStage);
  const weight = (seen: Seen) =>
    seen.participant.id === meId ? 0 : seen.hand > 0 ? 1 : seen.participant.role === "moderator" ? 2 : 3;
  const chosen = candidates
    .toSorted((a, b) => weight(a) - weight(b) || b.heardAt - a.heardAt || a.arrival - b.arrival)
    .slice(0, STAGE_MAX);
  const onStage = new Set(chosen);
  // Hands first, in the order in which they were raised.
  const order = (seen: Seen) => (seen.hand > 0 ? seen.hand - Number.MAX_SAFE_INTEGER : seen.arrival);
  return {
    stage: chosen.toSorted((a, b) => order(a) - order(b)),
    rest: everybody.filter((seen) => !onStage.has(seen)).toSorted((a, b) => a.arrival - b.arrival),
  };
}
