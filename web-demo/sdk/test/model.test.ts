// What each message does to the room, and which events it means.

import { expect, test } from "vitest";
import { RoomModel } from "../src/model.js";
import { welcomeAfter } from "../src/welcome.js";
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

const RIGHTS = { users: true, trunks: ["carrier"] };

function ringing(call: number, fields = {}) {
  return { call, name: "•••456", state: "ringing" as const, participant: null, ...fields };
}

test("a call stays the same object until it has ended, and is in `calls` no more then", () => {
  const room = new RoomModel(welcome({ dial: RIGHTS, calls: [ringing(1)] }) as unknown as Welcome);
  expect(room.dialRights).toEqual(RIGHTS);
  const call = room.calls.get(1);
  expect(call).toEqual({
    id: 1,
    name: "•••456",
    state: "ringing",
    participant: null,
    reason: null,
    status: null,
  });
  const talking = ringing(1, { state: "talking", participant: "phone-1" });
  expect(room.apply({ type: "call_updated", call: talking })).toEqual([["call", call]]);
  expect(call).toMatchObject({ state: "talking", participant: "phone-1" });
  const ended = ringing(1, { state: "ended", reason: "rejected", status: 486 });
  const [change] = room.apply({ type: "call_updated", call: ended });
  expect(change?.[1]).toBe(call);
  expect(call).toMatchObject({ state: "ended", participant: null, reason: "rejected", status: 486 });
  expect(room.calls.size).toBe(0);
});

test("who may dial no more knows of no calls, and who may again is told of them", () => {
  const room = new RoomModel(welcome({ dial: RIGHTS, calls: [ringing(1)] }) as unknown as Welcome);
  expect(room.apply({ type: "dial_rights", dial: null, calls: [] })).toEqual([["dialrights", null]]);
  expect([room.dialRights, room.calls.size]).toEqual([null, 0]);
  const again = room.apply({ type: "dial_rights", dial: RIGHTS, calls: [ringing(1), ringing(2)] });
  expect(again.map(([name]) => name)).toEqual(["dialrights", "call", "call"]);
  expect([...room.calls.keys()]).toEqual([1, 2]);
});

test("after a reconnect, calls are those of the welcome", () => {
  const calls = [ringing(1), ringing(2), ringing(3)];
  const room = new RoomModel(welcome({ dial: RIGHTS, calls }) as unknown as Welcome);
  const [one, two, three] = [...room.calls.values()];
  const now = [
    ringing(2, { state: "ended", reason: "rejected", status: 486 }),
    ringing(3),
    ringing(4, { state: "ended", reason: "cancelled" }),
    ringing(5),
  ];
  const changes = room.reload(welcome({ dial: RIGHTS, calls: now }) as unknown as Welcome);
  expect(changes.filter(([name]) => name === "call").map(([, call]) => (call as { id: number }).id)).toEqual([
    1, 2, 5,
  ]);
  expect(one).toMatchObject({ state: "ended", reason: null });
  expect(two).toMatchObject({ state: "ended", status: 486 });
  expect([...room.calls.keys()]).toEqual([3, 5]);
  expect(room.calls.get(3)).toBe(three);
});

test("another session counts its calls anew: one of the same number is another", () => {
  const room = new RoomModel(welcome({ dial: RIGHTS, calls: [ringing(1)] }) as unknown as Welcome);
  const former = room.calls.get(1);
  const session = { id: "s2", secret: "x", resume_ms: 30_000, idle_ms: 30_000 };
  room.reload(welcome({ session, dial: RIGHTS, calls: [ringing(1)] }) as unknown as Welcome);
  expect(former?.state).toBe("ended");
  expect(room.calls.get(1)).not.toBe(former);
  room.reload(welcome({ session }) as unknown as Welcome);
  expect([room.dialRights, room.calls.size]).toEqual([null, 0]);
});

test("a welcome that is kept knows of calls what was told since", () => {
  const first = welcome({ dial: RIGHTS, calls: [ringing(1)] }) as unknown as Welcome;
  const called = welcomeAfter(first, { type: "call_updated", call: ringing(2) });
  expect(called.calls?.map(({ call }) => call)).toEqual([1, 2]);
  const demoted = welcomeAfter(called, { type: "dial_rights", dial: null, calls: [] });
  expect(demoted).toMatchObject({ calls: [] });
  expect(demoted.dial).toBeUndefined();
});
