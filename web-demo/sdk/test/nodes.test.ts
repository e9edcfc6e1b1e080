// The story of a room that is on several nodes: sent on, found again through another, moved.

import { expect, test, vi } from "vitest";
import { connect, type Room } from "../src/tercet.js";
import { joined } from "./entering.js";
import {
  answer,
  FakePeer,
  FakeSocket,
  fakeTrack,
  playWithFakes,
  settle,
  welcome,
  wireParticipant,
} from "./fakes.js";

const ONE = "https://one.example.org";
const TWO = "https://two.example.org";
const THREE = "https://three.example.org";

playWithFakes();

/** In a room by the first node, which names the others. */
const joinedOne = (options = {}, nodes = [TWO, THREE]) =>
  joined({ url: ONE, ...options }, undefined, { nodes });

const wentTo = () => FakeSocket.all.map(({ url }) => new URL(url).hostname.split(".")[0]);

const refuse = (type: string, code: string) =>
  FakeSocket.last.reply(type, { type: "error", code, message: "", fatal: true });

/** What the last node says to whoever joins it, and the media that follows. */
async function welcomed(fields: Record<string, unknown> = {}): Promise<void> {
  FakeSocket.last.open();
  FakeSocket.last.reply("join", welcome({ session: { ...SESSION, id: "s2" }, ...fields }));
  await settle();
}
const SESSION = { id: "s1", secret: "first", resume_ms: 30_000, idle_ms: 30_000 };

async function mediaConnects(): Promise<void> {
  FakeSocket.last.reply("offer", answer());
  await settle();
  FakePeer.last.become("connected");
  await settle();
}

function storyOf(room: Room): string[] {
  const story: string[] = [];
  room.on("statechange", (state) => story.push(state));
  room.on("participantjoined", ({ id }) => story.push(`+${id}`));
  room.on("participantleft", ({ id }) => story.push(`-${id}`));
  room.on("closing", (ms) => story.push(`closing in ${ms} ms`));
  room.on("left", (reason) => story.push(`left: ${reason}`));
  return story;
}

// --- coming in ---

test("of several URLs each is tried in turn", async () => {
  const promise = connect({ url: [ONE, TWO, THREE], token: "jwt" });
  FakeSocket.last.drop();
  await settle();
  FakeSocket.last.open();
  refuse("join", "shutting_down");
  await settle();
  await welcomed();
  FakeSocket.last.reply("offer", answer());
  expect((await promise).url).toBe(THREE);
  expect(wentTo()).toEqual(["one", "two", "three"]);
});

test("a URL that doesn't answer is given up after 5 s for the next, and one alone after 10 s", async () => {
  const several = expect(connect({ url: [ONE, TWO], token: "jwt" })).rejects.toMatchObject({
    code: "overloaded",
  });
  await vi.advanceTimersByTimeAsync(5_000);
  FakeSocket.last.open();
  // Whoever answers knows more than whoever doesn't.
  refuse("join", "overloaded");
  await several;
  const one = expect(connect({ url: ONE, token: "jwt" })).rejects.toMatchObject({ code: "unreachable" });
  await vi.advanceTimersByTimeAsync(9_999);
  expect(FakeSocket.last.readyState).toBe(0);
  await vi.advanceTimersByTimeAsync(1);
  await one;
});

test("what another node would say too is not asked of it", async () => {
  const promise = connect({ url: [ONE, TWO], token: "jwt" });
  FakeSocket.last.open();
  refuse("join", "room_full");
  await expect(promise).rejects.toMatchObject({ code: "room_full" });
  expect(wentTo()).toEqual(["one"]);
});

test("a redirect is followed, once", async () => {
  const promise = connect({ url: ONE, token: "jwt", name: "Me" });
  FakeSocket.last.open();
  expect(FakeSocket.last.request("join")).toMatchObject({ token: "jwt", may_redirect: true });
  FakeSocket.last.reply("join", { type: "redirect", url: TWO });
  await settle();
  expect(FakeSocket.all[0]?.readyState).toBe(3);
  expect(FakeSocket.last.url).toBe("wss://two.example.org/v1/ws");
  FakeSocket.last.open();
  expect(FakeSocket.last.request("join")).toMatchObject({ token: "jwt", name: "Me", may_redirect: false });
  await welcomed();
  FakeSocket.last.reply("offer", answer());
  expect((await promise).url).toBe(TWO);
});

test("where a redirect leads nowhere within 2 s, the first node passes on what is said", async () => {
  const promise = connect({ url: ONE, token: "jwt" });
  FakeSocket.last.open();
  FakeSocket.last.reply("join", { type: "redirect", url: TWO });
  await vi.advanceTimersByTimeAsync(1_999);
  expect(wentTo()).toEqual(["one", "two"]);
  await vi.advanceTimersByTimeAsync(1);
  expect(wentTo()).toEqual(["one", "two", "one"]);
  FakeSocket.last.open();
  expect(FakeSocket.last.request("join")).toMatchObject({ may_redirect: false });
  await welcomed();
  FakeSocket.last.reply("offer", answer());
  expect((await promise).url).toBe(ONE);
});

test("a token that has expired is replaced by a fresh one, where there is one", async () => {
  const getToken = vi.fn(async () => "fresh");
  const room = connect({ url: ONE, token: "jwt", getToken });
  FakeSocket.last.open();
  refuse("join", "token_expired");
  await settle();
  FakeSocket.last.open();
  expect(FakeSocket.last.request("join")).toMatchObject({ token: "fresh" });
  await welcomed();
  FakeSocket.last.reply("offer", answer());
  await room;
  expect(getToken).toHaveBeenCalledOnce();

  const without = connect({ url: ONE, token: "jwt" });
  FakeSocket.last.open();
  refuse("join", "token_expired");
  await expect(without).rejects.toMatchObject({ code: "token_expired" });
  const broken = connect({ url: ONE, token: "jwt", getToken: () => Promise.reject(new Error("no backend")) });
  FakeSocket.last.open();
  refuse("join", "token_expired");
  await expect(broken).rejects.toMatchObject({ code: "token_expired", cause: new Error("no backend") });
});

// --- coming back ---

test("a node that isn't reached is made do without: the room is had through another, with new media", async () => {
  const audioTrack = fakeTrack();
  const room = await joinedOne({ audioTrack });
  const { me, slots } = room;
  const story = storyOf(room);
  const tracks = vi.fn();
  room.on("slots", tracks);
  FakeSocket.last.drop();
  await vi.advanceTimersByTimeAsync(0);
  FakeSocket.last.drop();
  // The others who were there come at other times.
  await vi.advanceTimersByTimeAsync(500);
  expect(wentTo()).toEqual(["one", "one", "two"]);
  await welcomed({ participants: [wireParticipant("me", { source: 7 }), wireParticipant("bob")] });
  expect(room.state).toBe("reconnecting");
  expect(FakePeer.all[0]?.connectionState).toBe("closed");
  expect(FakeSocket.last.request("offer")).toMatchObject({ fresh: true });
  await mediaConnects();
  expect(FakePeer.all).toHaveLength(2);
  expect(FakePeer.last.transceivers[0]?.sender.track).toBe(audioTrack);
  expect(story).toEqual(["reconnecting", "-ann", "+bob", "connected"]);
  expect([room.url, room.me === me, room.me.source, room.slots === slots]).toEqual([TWO, true, 7, true]);
  expect(room.slots[0]?.track).toBe(FakePeer.last.transceivers[1]?.receiver.track);
  expect(tracks).toHaveBeenCalled();
});

test("a node that doesn't answer within 1.5 s is as one that isn't reached", async () => {
  await joinedOne();
  FakeSocket.last.drop();
  await vi.advanceTimersByTimeAsync(1_499);
  expect(wentTo()).toEqual(["one", "one"]);
  await vi.advanceTimersByTimeAsync(1 + 500);
  expect(wentTo()).toEqual(["one", "one", "two"]);
});

test("a session that is gone is followed by another, at the same node if there is no other", async () => {
  const room = await joined();
  FakeSocket.last.drop();
  await vi.advanceTimersByTimeAsync(0);
  FakeSocket.last.open();
  refuse("resume", "no_such_session");
  await vi.advanceTimersByTimeAsync(500);
  await welcomed();
  await mediaConnects();
  expect(room.state).toBe("connected");
  // A second loss is one of the second session.
  FakeSocket.last.drop();
  await vi.advanceTimersByTimeAsync(500);
  FakeSocket.last.open();
  expect(FakeSocket.last.request("resume")).toMatchObject({ session: "s2" });
});

test("a room that can't be had again closes when the session can't be there any more", async () => {
  const room = await joinedOne();
  const story = storyOf(room);
  FakeSocket.last.drop();
  const from = performance.now();
  while (room.state !== "closed") {
    await vi.advanceTimersByTimeAsync(100);
    FakeSocket.last.drop();
  }
  expect(performance.now() - from).toBeGreaterThan(60_000);
  expect(performance.now() - from).toBeLessThan(66_000);
  expect(story).toEqual(["reconnecting", "closed", "left: timed_out"]);
  expect(room.closeReason).toBe("timed_out");
  await expect(room.raiseHand(true)).rejects.toMatchObject({ code: "closed" });
});

test("who asks for a room anew is refused for good only by what nobody can change", async () => {
  const room = await joinedOne();
  const errors: string[] = [];
  room.on("error", ({ code }) => errors.push(code));
  FakeSocket.last.drop();
  await vi.advanceTimersByTimeAsync(0);
  FakeSocket.last.drop();
  await vi.advanceTimersByTimeAsync(500);
  FakeSocket.last.open();
  refuse("join", "room_full");
  await vi.advanceTimersByTimeAsync(250);
  FakeSocket.last.drop();
  await settle();
  FakeSocket.last.open();
  refuse("join", "unauthorized");
  await settle();
  expect(errors).toEqual(["unauthorized"]);
  expect(room.closeReason).toBe("failed");
});

test("what one was in a session that is gone, one asks to be in the next before one is heard", async () => {
  const audioTrack = fakeTrack();
  const room = await joinedOne({ audioTrack });
  const muting = room.mute(true);
  const listening = room.listen({ except: ["bob"] });
  const raising = room.raiseHand(true);
  await settle();
  for (const type of ["mute", "listen", "raise_hand"]) FakeSocket.last.ok(type);
  await Promise.all([muting, listening, raising]);
  FakeSocket.last.drop();
  await vi.advanceTimersByTimeAsync(0);
  FakeSocket.last.drop();
  await vi.advanceTimersByTimeAsync(500);
  await welcomed();
  const asked = FakeSocket.last.sent.map(({ type }) => type).filter((type) => type !== "ping");
  expect(asked).toEqual(["join", "mute", "raise_hand", "listen", "offer"]);
  expect(FakeSocket.last.request("listen")).toMatchObject({ except: ["bob"] });
  expect([room.me.muted, room.me.handRaised, audioTrack.enabled]).toEqual([true, true, false]);
});

test("what was asked for when the node died is asked of the next, and its messages go there", async () => {
  const room = await joinedOne();
  const raising = room.raiseHand(true);
  await settle();
  FakePeer.last.become("disconnected");
  room.send("late");
  FakeSocket.last.drop();
  await vi.advanceTimersByTimeAsync(0);
  FakeSocket.last.drop();
  await vi.advanceTimersByTimeAsync(500);
  await welcomed();
  FakeSocket.last.ok("raise_hand");
  await raising;
  await mediaConnects();
  FakePeer.last.channels[0]?.open();
  expect(FakePeer.last.channels[0]?.sent).toEqual([{ data: "late" }]);
});

test("whoever leaves while a node isn't reached joins no other", async () => {
  const room = await joinedOne();
  FakeSocket.last.drop();
  await vi.advanceTimersByTimeAsync(0);
  await room.leave();
  FakeSocket.last.drop();
  for (let n = 0; n < 300; n++) {
    await vi.advanceTimersByTimeAsync(200);
    if (FakeSocket.last.readyState === 0) FakeSocket.last.drop();
  }
  expect(new Set(wentTo())).toEqual(new Set(["one"]));
  expect(FakeSocket.all.flatMap(({ sent }) => sent).filter(({ type }) => type === "join")).toHaveLength(1);
});

test("a node that stops, and ends the session, is left for another if there is one", async () => {
  const room = await joinedOne();
  const story = storyOf(room);
  FakeSocket.last.say({ type: "left", reason: "shutdown" });
  await vi.advanceTimersByTimeAsync(500);
  expect(wentTo()).toEqual(["one", "two"]);
  await welcomed();
  await mediaConnects();
  expect(story).toEqual(["reconnecting", "connected"]);
});

test("without a fresh token the room closes as one that was lost, with one it is had again", async () => {
  for (const getToken of [undefined, async () => "fresh"]) {
    const room = await joinedOne({ getToken });
    FakeSocket.last.drop();
    await vi.advanceTimersByTimeAsync(0);
    FakeSocket.last.drop();
    await vi.advanceTimersByTimeAsync(500);
    FakeSocket.last.open();
    refuse("join", "token_expired");
    await settle();
    if (!getToken) {
      expect(room.closeReason).toBe("timed_out");
      continue;
    }
    await welcomed();
    expect(FakeSocket.last.request("join")).toMatchObject({ token: "fresh" });
    await mediaConnects();
    expect(room.state).toBe("connected");
  }
});

// --- moving ---

const CLOSING = { type: "closing", deadline_ms: 10_000, nodes: [TWO, THREE] };

test("a node that stops is left for one that it names, without a break: voice and slots change hands at once", async () => {
  const audioTrack = fakeTrack();
  const room = await joinedOne({ audioTrack });
  const story = storyOf(room);
  const [oldSocket, oldPeer] = [FakeSocket.last, FakePeer.last];
  const heard = vi.fn();
  room.on("slots", (slots) => heard(slots[0]?.participant?.id, slots[0]?.track));
  oldSocket.say(CLOSING);
  await vi.advanceTimersByTimeAsync(1_999);
  expect(FakeSocket.all).toHaveLength(1);
  await vi.advanceTimersByTimeAsync(1);
  const newSocket = FakeSocket.last;
  expect(newSocket.url).toBe("wss://two.example.org/v1/ws");
  await welcomed();
  // The room goes on following the first session, and the second one remembers what it tells.
  oldSocket.say({ type: "participant_joined", participant: wireParticipant("bob") });
  newSocket.say({ type: "participant_joined", participant: wireParticipant("bob") });
  newSocket.say({ type: "slots", slots: [{ index: 0, mid: "1", participant: "bob" }] });
  await mediaConnects();
  const newPeer = FakePeer.last;
  const sent = () => [oldPeer, newPeer].map((peer) => peer.transceivers[0]?.sender.track);
  expect([room.peerConnection, room.url]).toEqual([oldPeer, ONE]);
  expect(sent()).toEqual([audioTrack, null]);
  await vi.advanceTimersByTimeAsync(300);
  expect([room.peerConnection, room.url]).toEqual([newPeer, TWO]);
  expect(sent()).toEqual([null, audioTrack]);
  expect(heard).toHaveBeenCalledExactlyOnceWith("bob", newPeer.transceivers[1]?.receiver.track);
  // Whoever plays the old tracks has a moment to take the new ones.
  expect([oldPeer.connectionState, oldSocket.sent.at(-1)?.type]).toEqual(["connected", "offer"]);
  await vi.advanceTimersByTimeAsync(500);
  expect(oldSocket.sent.at(-1)).toEqual({ type: "leave" });
  oldSocket.say({ type: "left", reason: "left" });
  oldSocket.drop();
  await vi.advanceTimersByTimeAsync(500);
  expect(oldPeer.connectionState).toBe("closed");
  expect(story).toEqual(["+bob"]);
  expect(room.state).toBe("connected");
  // From here on the second is the session.
  newSocket.say({ type: "participant_left", participant: "bob", reason: "left" });
  expect(story).toEqual(["+bob", "-bob"]);
});

test("a mute is carried to where one moves, and an unmute meanwhile too", async () => {
  const audioTrack = fakeTrack();
  const room = await joinedOne({ audioTrack });
  const muting = room.mute(true);
  await settle();
  FakeSocket.last.ok("mute");
  await muting;
  const oldSocket = FakeSocket.last;
  oldSocket.say(CLOSING);
  await vi.advanceTimersByTimeAsync(2_000);
  await welcomed();
  expect(FakeSocket.last.sent.map(({ type }) => type)).toEqual(["join", "mute", "offer"]);
  FakeSocket.last.ok("mute");
  const unmuting = room.mute(false);
  await settle();
  oldSocket.ok("mute");
  await unmuting;
  await mediaConnects();
  await vi.advanceTimersByTimeAsync(300);
  expect(FakeSocket.last.request("mute")).toMatchObject({ muted: false, track: "microphone" });
  expect([room.me.muted, audioTrack.enabled]).toEqual([false, true]);
});

test("an old session that the server ends as soon as the new one joins is not the end of the room", async () => {
  const room = await joinedOne();
  const story = storyOf(room);
  const oldSocket = FakeSocket.last;
  oldSocket.say(CLOSING);
  await vi.advanceTimersByTimeAsync(2_000);
  FakeSocket.last.open();
  oldSocket.say({ type: "left", reason: "replaced" });
  oldSocket.drop();
  await welcomed();
  await mediaConnects();
  // Nothing is heard by the old one, so nothing is waited for.
  expect(room.url).toBe(TWO);
  expect(story).toEqual(["reconnecting", "connected"]);
});

test("who is replaced before they moved was replaced by another", async () => {
  const room = await joinedOne();
  FakeSocket.last.say(CLOSING);
  await vi.advanceTimersByTimeAsync(1_000);
  FakeSocket.last.say({ type: "left", reason: "replaced" });
  await vi.advanceTimersByTimeAsync(60_000);
  expect(room.closeReason).toBe("replaced");
  expect(FakeSocket.all).toHaveLength(1);
});

test("where one node doesn't take the room, another does; where none does, the application learns of the end", async () => {
  const room = await joinedOne();
  const story = storyOf(room);
  const oldSocket = FakeSocket.last;
  oldSocket.say(CLOSING);
  await vi.advanceTimersByTimeAsync(2_000);
  FakeSocket.last.open();
  refuse("join", "overloaded");
  await settle();
  expect(wentTo()).toEqual(["one", "two", "three"]);
  await welcomed();
  FakeSocket.last.reply("offer", answer());
  await settle();
  const third = FakeSocket.last;
  // Media doesn't connect there.
  await vi.advanceTimersByTimeAsync(5_000);
  expect(third.sent.at(-1)).toEqual({ type: "leave" });
  expect(story).toEqual(["closing in 3000 ms"]);
  expect([room.state, room.url]).toEqual(["connected", ONE]);
  // Its end is as any other: the room is looked for everywhere.
  oldSocket.say({ type: "left", reason: "shutdown" });
  await vi.advanceTimersByTimeAsync(500);
  await welcomed();
  await mediaConnects();
  expect([room.state, room.url]).toEqual(["connected", TWO]);
});

test("a node that dies before the room has moved is left at once", async () => {
  const room = await joinedOne();
  FakeSocket.last.say(CLOSING);
  await vi.advanceTimersByTimeAsync(100);
  FakeSocket.last.drop();
  await settle();
  expect(wentTo()).toEqual(["one", "two"]);
  await welcomed();
  await mediaConnects();
  expect([room.state, room.url]).toEqual(["connected", TWO]);
  await vi.advanceTimersByTimeAsync(10_000);
  expect(FakeSocket.all).toHaveLength(2);
});

test("whoever leaves while they move leaves both nodes", async () => {
  const room = await joinedOne();
  const oldSocket = FakeSocket.last;
  oldSocket.say(CLOSING);
  await vi.advanceTimersByTimeAsync(2_000);
  await welcomed();
  const leaving = room.leave();
  oldSocket.say({ type: "left", reason: "left" });
  await leaving;
  await vi.advanceTimersByTimeAsync(1_000);
  expect([oldSocket, FakeSocket.last].map(({ sent }) => sent.at(-1)?.type)).toEqual(["leave", "leave"]);
  expect(FakePeer.all.map(({ connectionState }) => connectionState)).toEqual(["closed", "closed"]);
});

test("a node that stops and names no other says so", async () => {
  const room = await joined();
  const story = storyOf(room);
  FakeSocket.last.say({ type: "closing", deadline_ms: 10_000 });
  FakeSocket.last.say({ type: "left", reason: "shutdown" });
  await settle();
  expect(story).toEqual(["closing in 10000 ms", "closed", "left: shutdown"]);
});
