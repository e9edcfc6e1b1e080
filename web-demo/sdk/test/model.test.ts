// What each message does to the room, and which events it means.

import { expect, test } from "vitest";
import { RoomModel, welcomeAfter } from "../src/model.js";
import type { RoomChange, Welcome, WireParticipant } from "../src/wire.js";
import { welcome, wireParticipant } from "./fakes.js";

function model(): RoomModel {
  return new RoomModel(welcome() as unknown as Welcome);
}

function wire(id: string, fields = {}): WireParticipant {
  return wireParticipant(id, fields) as unknown as WireParticipant;
}

function seats(...ids: (string | null)[]) {
  return ids.map((participant, index) => ({ index, mid: String(index + 1), participant }));
}

test("a participant stays the same object through updates, and unchanged ones are no event", () => {
  const room = model();
  const ann = room.participants.get("ann");
  const update = { type: "participant_updated" as const, participant: wire("ann", { hand_raised: true }) };
  const [change] = room.apply(update);
  expect(change).toEqual(["participantupdated", ann, new Set(["handRaised"])]);
  expect(ann?.handRaised).toBe(true);
  expect(room.apply(update)).toEqual([]);
});

test("slots are an event only when somebody else is in one", () => {
  const room = model();
  expect(room.apply({ type: "slots", slots: seats("ann", null, null) })).toHaveLength(1);
  expect(room.slots[0]?.participant).toBe(room.participants.get("ann"));
  expect(room.apply({ type: "slots", slots: seats("ann", null, null) })).toEqual([]);
});

test("whoever leaves frees the slot at once", () => {
  const room = model();
  room.apply({ type: "slots", slots: seats(null, "ann", null) });
  const names = room
    .apply({ type: "participant_left", participant: "ann", reason: "timed_out" })
    .map(([name]) => name);
  expect(names).toEqual(["participantleft", "slots", "participantcount"]);
  expect(room.slots[1]?.participant).toBeNull();
});

test("the screen is an event when another's sound is heard, and nobody's when its sharer leaves", () => {
  const room = model();
  const [change] = room.apply({ type: "screen", participant: "ann" });
  expect(change).toEqual(["screen", room.screen]);
  expect(room.screen.participant).toBe(room.participants.get("ann"));
  expect(room.apply({ type: "screen", participant: "ann" })).toEqual([]);
  const names = room
    .apply({ type: "participant_left", participant: "ann", reason: "left" })
    .map(([name]) => name);
  expect(names).toEqual(["participantleft", "screen", "participantcount"]);
  expect(room.screen.participant).toBeNull();
});

test("every field that changed is taken over", () => {
  const room = model();
  const now = { name: "Ann", role: "moderator", standing: "pinned", muted: true, screen_muted: true };
  const update = { type: "participant_updated" as const, participant: wire("ann", now) };
  expect(room.apply(update)[0]?.[2]).toEqual(new Set(["name", "role", "standing", "muted", "screenMuted"]));
  expect(room.participants.get("ann")).toMatchObject({ standing: "pinned", screenMuted: true });
  expect(room.apply(update)).toEqual([]);
});

test("levels fall back to silence when absent", () => {
  const room = model();
  const ann = room.participants.get("ann");
  room.apply({ type: "speakers", levels: [{ participant: "ann", level_dbov: -20 }] });
  expect(ann?.levelDbov).toBe(-20);
  room.apply({ type: "speakers", levels: [] });
  expect(ann?.levelDbov).toBe(-127);
});

test("tracks come and go once", () => {
  const room = model();
  const published = {
    type: "track_published" as const,
    participant: "ann",
    track: { id: "t", kind: "audio", origin: "microphone" as const },
  };
  expect(room.apply(published).map(([name]) => name)).toEqual(["trackpublished"]);
  expect(room.apply(published)).toEqual([]);
  const gone = room.apply({ type: "track_unpublished", participant: "ann", track: "t" });
  expect(gone.map(([name]) => name)).toEqual(["trackunpublished"]);
});

test("a reload is told as the difference", () => {
  const room = model();
  room.apply({ type: "slots", slots: seats("ann", null, null) });
  const changes = room.reload(
    welcome({
      participants: [
        wireParticipant("me", { role: "moderator" }),
        wireParticipant("ann", { tracks: [{ id: "t", kind: "audio", origin: "microphone" as const }] }),
        wireParticipant("bob"),
      ],
      slots: seats(null, "bob", null),
    }) as unknown as Welcome,
  );
  expect(changes.map(([name]) => name)).toEqual([
    "participantupdated",
    "trackpublished",
    "participantjoined",
    "slots",
    "participantcount",
  ]);
  expect(room.me.role).toBe("moderator");
});

test("while everybody is listed, the list is the number", () => {
  const room = model();
  expect(room.participantCount).toBe(2);
  const joined = room.apply({ type: "participant_joined", participant: wire("bob") });
  expect(joined).toEqual([
    ["participantjoined", room.participants.get("bob")],
    ["participantcount", 3],
  ]);
  room.apply({ type: "participant_left", participant: "bob", reason: "left" });
  expect(room.participantCount).toBe(2);
  expect(room.apply({ type: "attendance", participant_count: 2 })).toEqual([]);
});

test("where not everybody is listed, the server says how many there are", () => {
  const room = new RoomModel(welcome({ participant_count: 1000 }) as unknown as Welcome);
  const count = (change: Parameters<RoomModel["apply"]>[0]) => {
    room.apply(change);
    return room.participantCount;
  };
  expect(room.participantCount).toBe(1000);
  // Whether somebody came, or only got listed, isn't said.
  expect(count({ type: "participant_joined", participant: wire("bob") })).toBe(1000);
  expect(count({ type: "participant_left", participant: "ann", reason: "left" })).toBe(1000);
  expect(room.apply({ type: "attendance", participant_count: 999 })).toEqual([["participantcount", 999]]);
  // The last who weren't listed leave: from there the list is the number again.
  expect(count({ type: "attendance", participant_count: 2 })).toBe(2);
  expect(count({ type: "participant_left", participant: "bob", reason: "left" })).toBe(1);
});

test("as many are there as are listed, at least", () => {
  const room = new RoomModel(welcome({ participant_count: 3 }) as unknown as Welcome);
  for (const id of ["bob", "cyd"]) room.apply({ type: "participant_joined", participant: wire(id) });
  expect(room.participantCount).toBe(4);
});

test("a reload counts anew", () => {
  const room = new RoomModel(welcome({ participant_count: 1000 }) as unknown as Welcome);
  const changes = room.reload(welcome({ participant_count: 7 }) as unknown as Welcome);
  expect(changes).toEqual([["participantcount", 7]]);
  expect(room.participantCount).toBe(7);
});

test("a welcome that was kept up to date says what a room that heard the same became", () => {
  const track = (id: string) => ({ id, kind: "audio", origin: "microphone" as const });
  const story: RoomChange[] = [
    { type: "participant_joined", participant: wire("bob") },
    { type: "track_published", participant: "bob", track: track("b") },
    { type: "track_published", participant: "ann", track: track("a") },
    { type: "track_unpublished", participant: "ann", track: "a" },
    { type: "slots", slots: seats("bob", "ann", null) },
    { type: "speakers", levels: [{ participant: "ghost", level_dbov: -3 }] },
    { type: "screen", participant: "ann" },
    { type: "participant_updated", participant: wire("ann", { muted: true, source: 9 }) },
    { type: "participant_joined", participant: wire("cyd") },
    { type: "participant_left", participant: "bob", reason: "left" },
    { type: "slots", slots: seats(null, "ann", null) },
    { type: "attendance", participant_count: 7 },
    { type: "participant_left", participant: "cyd", reason: "left" },
  ];
  for (const count of [2, 9]) {
    const first = welcome({ participant_count: count }) as unknown as Welcome;
    const followed = new RoomModel(first);
    let kept = first;
    for (const change of story) {
      followed.apply(change);
      kept = welcomeAfter(kept, change);
      const reloaded = new RoomModel(first);
      reloaded.reload(kept);
      const state = ({ participants, slots, screen, participantCount }: RoomModel) => ({
        participants: new Map([...participants].map(([id, it]) => [id, { ...it }]).sort() as never),
        seated: [...slots, screen].map(({ participant }) => participant?.id),
        participantCount,
      });
      expect(state(reloaded), change.type).toEqual(state(followed));
    }
  }
});

test("events of people who are unknown are left out", () => {
  const room = model();
  expect(room.apply({ type: "slots", slots: seats("ghost", null, null) })).toEqual([]);
  expect(room.apply({ type: "participant_left", participant: "ghost", reason: "left" })).toEqual([]);
  expect(room.apply({ type: "speakers", levels: [{ participant: "ghost", level_dbov: -3 }] })).toEqual([
    ["speakers", []],
  ]);
});
