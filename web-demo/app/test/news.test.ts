// What is said about what others did to oneself.

import type { ParticipantField, Role } from "@tercet/sdk";
import { expect, test } from "vitest";
import { type Me, newsOfMe } from "../src/news.js";

function said(me: Partial<Me>, before: Role, changed: ParticipantField[], asked: ParticipantField[] = []) {
  const now: Me = {
    role: before,
    muted: false,
    screenMuted: false,
    cameraMuted: false,
    screenVideoMuted: false,
    handRaised: false,
    ...me,
  };
  return newsOfMe(now, before, new Set(changed), new Set(asked)).map(({ sentence }) => sentence);
}

test("a moderator's mute is told, one's own is not", () => {
  expect(said({ muted: true }, "speaker", ["muted"])).toEqual(["A moderator muted you."]);
  expect(said({ muted: true }, "speaker", ["muted"], ["muted"])).toEqual([null]);
  expect(said({ muted: false }, "speaker", ["muted"], ["muted"])).toEqual([null]);
});

test("a share that a moderator silenced is told", () => {
  const sentences = ["A moderator silenced the sound that you share."];
  expect(said({ screenMuted: true }, "speaker", ["screenMuted"])).toEqual(sentences);
  expect(said({ screenMuted: false }, "speaker", ["screenMuted"])).toEqual([null]);
});

test("a camera that a moderator turned off is told, one's own doing is not", () => {
  const sentences = ["A moderator turned your camera off."];
  expect(said({ cameraMuted: true }, "speaker", ["cameraMuted"])).toEqual(sentences);
  expect(said({ cameraMuted: true }, "speaker", ["cameraMuted"], ["cameraMuted"])).toEqual([null]);
});

test("a hand that a moderator lowered is told, unless it was for a promotion", () => {
  expect(said({}, "listener", ["handRaised"])).toEqual(["A moderator lowered your hand."]);
  expect(said({}, "listener", ["handRaised"], ["handRaised"])).toEqual([null]);
  expect(said({ role: "speaker" }, "listener", ["role", "handRaised"])).toEqual([null, null]);
});

test("a new role is told", () => {
  expect(said({ role: "moderator" }, "speaker", ["role"])).toEqual(["You are a moderator now."]);
  expect(said({ role: "speaker" }, "moderator", ["role"])).toEqual(["You are no longer a moderator."]);
  expect(said({ role: "listener" }, "speaker", ["role"])).toEqual([
    "A moderator made you a listener. Raise your hand to speak.",
  ]);
});
