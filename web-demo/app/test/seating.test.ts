// The order of those who are heard.

import type { Participant, Slot } from "@tercet/sdk";
import { expect, test } from "vitest";
import { seat } from "../src/seating.js";

const slots = (...names: (string | null)[]) =>
  names.map((id, index) => ({ index, participant: id && ({ id } as Participant) })) as unknown as Slot[];

test("the list fills from the top, and whoever is there stays above those who come", () => {
  expect(seat([0, 1, 2], slots(null, "ann", null), new Set())).toEqual([1, 0, 2]);
  expect(seat([1, 0, 2], slots("ben", "ann", null), new Set([1]))).toEqual([1, 0, 2]);
  expect(seat([1, 0, 2], slots("ben", null, "cy"), new Set([0]))).toEqual([0, 2, 1]);
});

test("a free slot is the last, and its successor comes last of those who are heard", () => {
  expect(seat([0, 1, 2], slots(null, "ben", "cy"), new Set([1, 2]))).toEqual([1, 2, 0]);
  expect(seat([1, 2, 0], slots("ann", "ben", "cy"), new Set([1, 2]))).toEqual([1, 2, 0]);
});
