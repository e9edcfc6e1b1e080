// Which tiles there are, and how large: slots and people come in, the tiles of a stage and the columns of a grid go out.

import type { Participant, PictureOrigin, VideoSlot } from "@tercet/sdk";
import { showsFace } from "./publishing.js";

export interface Size {
  width: number;
  height: number;
}

/** One place on the stage: somebody's camera, whether it is on or not, or their screen. */
export interface Place {
  key: string;
  participant: Participant;
  origin: PictureOrigin;
  /** In which they are seen. */
  slot: VideoSlot | null;
}

export const GAP_PX = 8;
/** Narrower ones show nobody. */
const TILE_WIDTH_MIN_PX = 108;
const ASPECT = 16 / 9;

/** Whoever is seen, and then of the others as many as there is room for. */
export function placesOf(
  slots: readonly VideoSlot[],
  others: readonly Participant[],
  roomFor: number,
): Place[] {
  const places = slots.flatMap((slot) => (slot.participant ? [placeOf(slot.participant, slot)] : []));
  const taken = new Set(places.map(({ key }) => key));
  for (const participant of others) {
    if (places.length >= roomFor) break;
    const place = placeOf(participant, null);
    if (!taken.has(place.key)) places.push(place);
  }
  return places;
}

/**
 * Those whose camera is on before those whose isn't, and else in the order of before, so that nothing jumps while people come, go
 * and speak; who is new comes last.
 */
export function inOrder(before: readonly string[], places: readonly Place[]): Place[] {
  const rank = new Map(before.map((key, index) => [key, index]));
  const rankOf = ({ key, slot, participant }: Place) => {
    const isDark = slot === null && !showsFace(participant);
    return (rank.get(key) ?? before.length) + (isDark ? before.length + 1 : 0);
  };
  return places.toSorted((a, b) => rankOf(a) - rankOf(b));
}

/** How many tiles a box has room for. */
export function capacityOf({ width, height }: Size): number {
  const across = Math.max(1, Math.floor((width + GAP_PX) / (TILE_WIDTH_MIN_PX + GAP_PX)));
  const tileHeight = widthIn(across, width) / ASPECT;
  return across * Math.max(1, Math.floor((height + GAP_PX) / (tileHeight + GAP_PX)));
}

/** The columns in which so many tiles are as large as they can be in a box. What doesn't fit is as narrow as may be. */
export function columnsFor(count: number, { width, height }: Size): { columns: number; tileWidth: number } {
  let best = { columns: 1, tileWidth: 0 };
  for (let columns = 1; columns <= Math.max(1, count); columns++) {
    const rows = Math.ceil(count / columns);
    const highest = (height - GAP_PX * (rows - 1)) / rows;
    const tileWidth = Math.floor(Math.min(widthIn(columns, width), highest * ASPECT));
    if (tileWidth > best.tileWidth) best = { columns, tileWidth };
  }
  if (best.tileWidth >= TILE_WIDTH_MIN_PX) return best;
  const columns = Math.max(1, Math.floor((width + GAP_PX) / (TILE_WIDTH_MIN_PX + GAP_PX)));
  return { columns, tileWidth: Math.floor(widthIn(columns, width)) };
}

function placeOf(participant: Participant, slot: VideoSlot | null): Place {
  const origin = slot?.origin ?? "camera";
  return { key: `${origin} ${participant.id}`, participant, origin, slot };
}

function widthIn(columns: number, width: number): number {
  return (width - GAP_PX * (columns - 1)) / columns;
}
