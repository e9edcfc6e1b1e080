// Which tiles there are on the stage, in which order, and how large.

import type { Participant, VideoSlot } from "@tercet/sdk";
import { expect, test } from "vitest";
import { capacityOf, columnsFor, inOrder, placesOf } from "../src/tiling.js";

const DESK = { width: 1000, height: 540 };
const PHONE = { width: 358, height: 506 };

const person = (id: string, tracks: object[] = []) => ({ id, tracks }) as unknown as Participant;
const people = (count: number) => Array.from({ length: count }, (_, n) => person(`p${n}`));

function slotsOf(...seen: (Participant | null)[]): VideoSlot[] {
  return seen.map((participant, index) => ({ index, participant, origin: "camera" }) as VideoSlot);
}

test("whoever is seen has a tile, and the others as far as there is room", () => {
  const [ann, ben, cyd, dan] = people(4) as [Participant, Participant, Participant, Participant];
  const places = placesOf(slotsOf(ben, null, ann), [ann, cyd, dan], 3);
  expect(places.map(({ participant, slot }) => [participant.id, slot?.index ?? null])).toEqual([
    [ben.id, 0],
    [ann.id, 2],
    [cyd.id, null],
  ]);
  expect(placesOf(slotsOf(ben, ann), [cyd], 1)).toHaveLength(2);
});

test("somebody's screen and their camera are two tiles", () => {
  const [ann] = people(1) as [Participant];
  const [screen, camera] = slotsOf(ann, ann) as [VideoSlot, VideoSlot];
  const slots = [{ ...screen, origin: "screen_video" as const }, camera];
  expect(placesOf(slots, [ann], 9).map(({ origin }) => origin)).toEqual(["screen_video", "camera"]);
});

test("tiles stay where they are, whoever speaks, comes or goes", () => {
  const [ann, ben, cyd, dan] = people(4) as [Participant, Participant, Participant, Participant];
  const before = placesOf(slotsOf(ann, ben, cyd), [], 9).map(({ key }) => key);
  const now = inOrder(before, placesOf(slotsOf(cyd, dan, ann), [], 9));
  expect(now.map(({ participant }) => participant)).toEqual([ann, cyd, dan]);
});

test("those whose camera is on come before the others, whether they are seen or not", () => {
  const [ann, ben, cyd] = people(3) as [Participant, Participant, Participant];
  const eve = person("eve", [{ origin: "camera" }]);
  const places = placesOf(slotsOf(cyd), [ann, ben, eve], 9);
  const before = placesOf([], [ann, ben], 9).map(({ key }) => key);
  expect(inOrder(before, places).map(({ participant }) => participant)).toEqual([cyd, eve, ann, ben]);
});

test("a grid has the columns in which tiles are largest", () => {
  expect(columnsFor(1, DESK)).toEqual({ columns: 1, tileWidth: 960 });
  expect(columnsFor(2, DESK).columns).toBe(2);
  expect(columnsFor(9, DESK).columns).toBe(3);
  expect(columnsFor(2, PHONE).columns).toBe(1);
  expect(columnsFor(9, PHONE).columns).toBe(2);
  expect(columnsFor(30, DESK).tileWidth).toBeGreaterThan(130);
});

test("what a box has room for fits into it", () => {
  for (const box of [DESK, PHONE, { width: 300, height: 100 }]) {
    const count = capacityOf(box);
    const { columns, tileWidth } = columnsFor(count, box);
    const rows = Math.ceil(count / columns);
    expect(columns * tileWidth + 8 * (columns - 1)).toBeLessThanOrEqual(box.width);
    expect((rows * tileWidth * 9) / 16 + 8 * (rows - 1)).toBeLessThanOrEqual(box.height + 1);
  }
});

test("more than fit are as narrow as may be, and no narrower", () => {
  const { columns, tileWidth } = columnsFor(100, PHONE);
  expect([columns, tileWidth]).toEqual([3, 114]);
});
