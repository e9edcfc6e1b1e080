// What is dialled, by which way, and how a call is said to stand.

import { expect, test } from "vitest";
import { callable, complaintOf, labelOfTo, NO_TRUNK, ways } from "../src/dialling.js";
import { sentenceOfCall } from "../src/sentences.js";

test("a number is dialled without what it is written with, and a name as it is", () => {
  expect(callable(" +49 (30) 123-456/78.9 ")).toBe("+4930123456789");
  expect(callable("*31#0171 2")).toBe("*31#01712");
  expect(callable(" ada.l-2 ")).toBe("ada.l-2");
  expect(["+4930", "ada.l-2", "sip:ada@b", "", "1".repeat(65)].map((to) => complaintOf(to) === null)).toEqual(
    [true, true, false, false, false],
  );
  expect(callable("sip:ada@192.0.2.1")).toBe("sip:ada@192.0.2.1");
});

test("a trunk is chosen where there are several, or none for a user", () => {
  expect(ways({ users: true, trunks: ["a"] })).toEqual([]);
  expect(ways({ users: true, trunks: [] })).toEqual([]);
  expect(ways({ users: false, trunks: ["a", "b"] }).map(({ value }) => value)).toEqual(["a", "b"]);
  expect(ways({ users: true, trunks: ["a", "b"] }).map(({ value }) => value)).toEqual(["a", "b", NO_TRUNK]);
  expect(labelOfTo({ users: true, trunks: [] })).toBe("Name of a user");
  expect(labelOfTo({ users: false, trunks: ["a"] })).toBe("Number");
});

test("how a call stands is a sentence, also where the status is one that nobody knows", () => {
  const ended = (reason: string | null, status: number | null = null) =>
    sentenceOfCall({ state: "ended", reason, status });
  expect(sentenceOfCall({ state: "ringing", reason: null, status: null })).toBe("ringing");
  expect(ended("rejected", 486)).toBe("busy");
  expect(ended("rejected", 603)).toBe("declined");
  expect(ended("cancelled", 487)).toBe("cancelled");
  expect(ended("not_answered", 408)).toBe("no answer");
  expect(ended("rejected", 503)).toBe("could not be called (503)");
  expect(ended("peer_hung_up")).toBe("has hung up");
  expect(ended(null)).toBe("ended");
});
