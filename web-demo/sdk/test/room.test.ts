// The story of a session as the server and the browser tell it, with stand-ins for both.

import { expect, test, vi } from "vitest";
import { connect, TercetError } from "../src/tercet.js";
import { joined, resumed } from "./entering.js";
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

playWithFakes();

test("joining says hello, offers the m-lines of voice, slots and screen, and attaches the slots by mid", async () => {
  const room = await joined({ name: "Me" }, ["3", "1", "2"]);
  expect(FakeSocket.last.url).toBe("wss://example.org/v1/ws");
  expect(FakeSocket.last.request("join")).toMatchObject({ version: 1, token: "jwt", name: "Me" });
  expect(FakeSocket.last.request("offer")).toMatchObject({ fresh: false });

  const directions = FakePeer.last.transceivers.map(({ direction }) => direction);
  expect(directions).toEqual(["sendonly", "recvonly", "recvonly", "recvonly", "sendonly", "recvonly"]);
  expect(FakePeer.last.channels.map(({ label }) => label)).toEqual(["reliable", "lossy"]);

  expect(room.state).toBe("connected");
  expect(room.id).toBe("hall");
  expect(room.me.name).toBe("ME");
  expect([...room.participants.keys()]).toEqual(["me", "ann"]);
  const tracks = [3, 1, 2].map((mline) => FakePeer.last.transceivers[mline]?.receiver.track);
  expect(room.slots.map(({ track }) => track)).toEqual(tracks);
  expect(room.screen.track).toBe(FakePeer.last.transceivers[5]?.receiver.track);
});

test("the relays that the server names are the connection's, with the credentials of its latest welcome", async () => {
  const relay = (credential: string) => [{ urls: ["turn:relay.example:3478"], username: "1:a", credential }];
  await joined({ iceTransportPolicy: "relay" }, undefined, { ice_servers: relay("first") });
  const configuration = () => FakePeer.last.getConfiguration();
  expect(configuration()).toMatchObject({ iceServers: relay("first"), iceTransportPolicy: "relay" });
  FakeSocket.last.drop();
  await vi.advanceTimersByTimeAsync(1_000);
  await resumed({ ice_servers: relay("second") });
  expect(configuration()).toMatchObject({ iceServers: relay("second"), iceTransportPolicy: "relay" });
});

test("a refused join rejects with the server's code", async () => {
  const promise = connect({ url: "http://example.org", token: "jwt" });
  FakeSocket.last.open();
  FakeSocket.last.reply("join", { type: "error", code: "room_full", message: "full", fatal: true });
  await expect(promise).rejects.toMatchObject({ name: "TercetError", code: "room_full", message: "full" });
  await expect(promise).rejects.toBeInstanceOf(TercetError);
  expect(FakePeer.all).toHaveLength(0);
});

test("a refusal without the request's id rejects too", async () => {
  const promise = connect({ url: "http://example.org", token: "jwt" });
  FakeSocket.last.open();
  FakeSocket.last.say({ type: "error", code: "shutting_down", message: "going", fatal: true });
  await expect(promise).rejects.toMatchObject({ code: "shutting_down" });
});

test("a server that isn't there is unreachable", async () => {
  const promise = connect({ url: "http://example.org", token: "jwt" });
  FakeSocket.last.drop();
  await expect(promise).rejects.toMatchObject({ code: "unreachable" });
});

test("a refused offer rejects and ends the session", async () => {
  const promise = connect({ url: "http://example.org", token: "jwt" });
  FakeSocket.last.open();
  FakeSocket.last.reply("join", welcome());
  await settle();
  FakeSocket.last.reply("offer", { type: "error", code: "unsupported_codec", message: "no", fatal: false });
  await expect(promise).rejects.toMatchObject({ code: "unsupported_codec" });
  expect(FakeSocket.last.request("leave")).toBeDefined();
  expect(FakePeer.last.connectionState).toBe("closed");
});

test("a session that ends before the answer rejects with the reason", async () => {
  const promise = connect({ url: "http://example.org", token: "jwt" });
  FakeSocket.last.open();
  FakeSocket.last.reply("join", welcome());
  await settle();
  FakeSocket.last.say({ type: "left", reason: "removed" });
  await expect(promise).rejects.toMatchObject({ name: "TercetError", code: "removed" });
  expect(FakePeer.last.connectionState).toBe("closed");
});

test("a session that ends while the answer is applied rejects, though the browser never answers", async () => {
  const promise = connect({ url: "http://example.org", token: "jwt" });
  FakeSocket.last.open();
  FakeSocket.last.reply("join", welcome());
  await settle();
  FakePeer.last.setRemoteDescription = () => new Promise(() => {});
  FakeSocket.last.reply("offer", answer());
  await settle();
  FakeSocket.last.say({ type: "left", reason: "replaced" });
  await expect(promise).rejects.toMatchObject({ code: "replaced" });
});

test("a WebSocket that breaks before the answer is resumed, and media offered afresh", async () => {
  const promise = connect({ url: "http://example.org", token: "jwt" });
  FakeSocket.last.open();
  FakeSocket.last.reply("join", welcome());
  await settle();
  FakeSocket.last.drop();
  await vi.advanceTimersByTimeAsync(250);
  await resumed();
  expect(FakePeer.all.map(({ connectionState }) => connectionState)).toEqual(["closed", "new"]);
  expect(FakeSocket.last.request("offer")).toMatchObject({ fresh: true });
  FakeSocket.last.reply("offer", answer());
  const room = await promise;
  FakePeer.last.become("connected");
  expect(room.state).toBe("connected");
  expect(room.slots[0]?.track).toBe(FakePeer.last.transceivers[1]?.receiver.track);
});

test("connecting ends when the session can't be resumed", async () => {
  const promise = connect({ url: "http://example.org", token: "jwt" });
  FakeSocket.last.open();
  FakeSocket.last.reply("join", welcome());
  await settle();
  const rejected = expect(promise).rejects.toMatchObject({ code: "timed_out" });
  FakeSocket.last.drop();
  await vi.advanceTimersByTimeAsync(250);
  FakeSocket.last.open();
  FakeSocket.last.reply("resume", { type: "error", code: "no_such_session", message: "", fatal: true });
  await rejected;
});

test("a broken WebSocket is resumed with the latest secret, and the events are the difference", async () => {
  const room = await joined();
  const events: string[] = [];
  room.on("statechange", (state) => events.push(state));
  room.on("participantjoined", ({ id }) => events.push(`+${id}`));
  room.on("participantleft", ({ id }, reason) => events.push(`-${id} ${reason}`));
  const me = room.me;

  FakeSocket.last.drop();
  expect(room.state).toBe("reconnecting");
  expect(room.webSocket).toBeNull();
  await vi.advanceTimersByTimeAsync(250);
  expect(FakeSocket.last.sent).toEqual([]);
  await resumed({ participants: [wireParticipant("me"), wireParticipant("bob")] });
  expect(FakeSocket.last.request("resume")).toMatchObject({ version: 1, session: "s1", secret: "first" });
  expect(events).toEqual(["reconnecting", "-ann null", "+bob", "connected"]);
  expect(room.me).toBe(me);
  expect(FakePeer.all).toHaveLength(1);

  FakeSocket.last.drop();
  await vi.advanceTimersByTimeAsync(500);
  await resumed();
  expect(FakeSocket.last.request("resume")).toMatchObject({ secret: "second" });
});

test("the first attempt to reconnect comes at once, others after 250 ms, doubling up to 5 s", async () => {
  await joined();
  FakeSocket.last.drop();
  await vi.advanceTimersByTimeAsync(0);
  expect(FakeSocket.all).toHaveLength(2);
  FakeSocket.last.drop();
  await settle();
  for (const ms of [250, 500, 1000, 2000, 4000, 5000, 5000]) {
    const before = FakeSocket.all.length;
    await vi.advanceTimersByTimeAsync(ms - 1);
    expect(FakeSocket.all).toHaveLength(before);
    await vi.advanceTimersByTimeAsync(1);
    expect(FakeSocket.all).toHaveLength(before + 1);
    FakeSocket.last.drop();
    await settle();
  }
});

test("a WebSocket that breaks soon after its welcome counts as a failed attempt, until one held for 10 s", async () => {
  await joined();
  for (const [heldMs, waitMs] of [
    [0, 1],
    [0, 250],
    [9_999, 500],
    [0, 1000],
    [10_000, 1],
    [0, 250],
  ] as const) {
    await vi.advanceTimersByTimeAsync(heldMs);
    const before = FakeSocket.all.length;
    FakeSocket.last.drop();
    await vi.advanceTimersByTimeAsync(waitMs - 1);
    expect(FakeSocket.all).toHaveLength(waitMs > 1 ? before : before + 1);
    await vi.advanceTimersByTimeAsync(1);
    expect(FakeSocket.all).toHaveLength(before + 1);
    await resumed();
  }
});

test("a request whose reply was lost is sent again after the reconnect", async () => {
  const room = await joined();
  const raised = room.raiseHand(true);
  await settle();
  FakeSocket.last.drop();
  await vi.advanceTimersByTimeAsync(250);
  await resumed();
  FakeSocket.last.ok("raise_hand");
  await raised;
  expect(room.me.handRaised).toBe(true);
});

test("an unmute doesn't undo a mute that came while the connection was broken", async () => {
  const audioTrack = fakeTrack();
  const room = await joined({ audioTrack });
  const unmuting = expect(room.mute(false)).rejects.toMatchObject({ code: "outdated" });
  await settle();
  FakeSocket.last.drop();
  const late = expect(room.mute(false)).rejects.toMatchObject({ code: "outdated" });
  await vi.advanceTimersByTimeAsync(250);
  await resumed({ participants: [wireParticipant("me", { muted: true })] });
  await Promise.all([unmuting, late]);
  expect(FakeSocket.last.sent.map(({ type }) => type)).toEqual(["resume"]);
  expect(room.me.muted).toBe(true);
  expect(audioTrack.enabled).toBe(false);
});

test("an unmute is sent again if the state is that in which it was asked for, or is settled if granted", async () => {
  const room = await joined();
  const muted = [wireParticipant("me", { muted: true })];
  FakeSocket.last.say({ type: "participant_updated", participant: muted[0] });
  const unmuting = room.mute(false);
  await settle();
  FakeSocket.last.drop();
  await vi.advanceTimersByTimeAsync(250);
  await resumed({ participants: muted });
  expect(FakeSocket.last.request("mute")).toMatchObject({ muted: false });
  FakeSocket.last.drop();
  await vi.advanceTimersByTimeAsync(500);
  await resumed({ participants: [wireParticipant("me")] });
  await unmuting;
  expect(FakeSocket.last.sent.map(({ type }) => type)).toEqual(["resume"]);
});

test("whom one listens to is asked for again when the reply is lost", async () => {
  const room = await joined();
  const listening = room.listen({ only: ["ann", "bob"], except: ["cy"] });
  await settle();
  expect(FakeSocket.last.request("listen")).toMatchObject({ only: ["ann", "bob"], except: ["cy"] });
  FakeSocket.last.drop();
  await vi.advanceTimersByTimeAsync(250);
  await resumed();
  FakeSocket.last.ok("listen");
  await listening;
});

test("a moderator's request is never sent twice", async () => {
  const room = await joined();
  const lost = [
    room.setRole("ann", "speaker"),
    room.removeParticipant("ann"),
    room.muteParticipant("ann"),
    room.lowerHand("ann"),
    room.setStanding("ann", "pinned"),
  ].map((asked) => expect(asked).rejects.toMatchObject({ code: "connection_lost" }));
  await settle();
  FakeSocket.last.drop();
  await Promise.all(lost);
  const waiting = room.muteParticipant("ann");
  await vi.advanceTimersByTimeAsync(250);
  await resumed();
  expect(FakeSocket.last.sent.map(({ type }) => type)).toEqual(["resume", "mute_participant"]);
  FakeSocket.last.ok("mute_participant");
  await waiting;
});

test("silence to a ping counts as a loss", async () => {
  const room = await joined();
  await vi.advanceTimersByTimeAsync(10_000);
  FakeSocket.last.reply("ping", { type: "pong" });
  await vi.advanceTimersByTimeAsync(5_000);
  expect(room.state).toBe("connected");
  await vi.advanceTimersByTimeAsync(10_000);
  expect(room.state).toBe("reconnecting");
});

test("muting disables the track at once, unmuting enables it when granted", async () => {
  const audioTrack = fakeTrack();
  const room = await joined({ audioTrack });
  expect(FakePeer.last.transceivers[0]?.sender.track).toBe(audioTrack);
  const muting = room.mute(true);
  expect(audioTrack.enabled).toBe(false);
  await settle();
  FakeSocket.last.ok("mute");
  await muting;
  expect(room.me.muted).toBe(true);

  const unmuting = room.mute(false);
  await settle();
  expect(audioTrack.enabled).toBe(false);
  FakeSocket.last.ok("mute");
  await unmuting;
  expect(audioTrack.enabled).toBe(true);
});

test("who enters muted has a disabled track from the start, and the server is told before the offer", async () => {
  const audioTrack = fakeTrack();
  const promise = connect({ url: "https://example.org", token: "jwt", audioTrack, muted: true });
  FakeSocket.last.open();
  FakeSocket.last.reply("join", welcome());
  await settle();
  expect(audioTrack.enabled).toBe(false);
  expect(FakeSocket.last.sent.map(({ type }) => type)).toEqual(["join", "mute", "offer"]);
  FakeSocket.last.ok("mute");
  FakeSocket.last.reply("offer", answer());
  const room = await promise;
  expect(room.me.muted).toBe(true);
  expect(audioTrack.enabled).toBe(false);
});

test("of overlapping mute requests only the latest opens the microphone", async () => {
  const audioTrack = fakeTrack();
  const room = await joined({ audioTrack });
  const wishes = [room.mute(true), room.mute(false), room.mute(true)];
  await settle();
  const enabled: boolean[] = [];
  for (const { muted, id } of FakeSocket.last.sent.filter(({ type }) => type === "mute")) {
    FakeSocket.last.say({ type: "participant_updated", participant: wireParticipant("me", { muted }) });
    enabled.push(audioTrack.enabled);
    FakeSocket.last.say({ type: "ok", re: id });
    await settle();
    enabled.push(audioTrack.enabled);
  }
  await Promise.all(wishes);
  expect(enabled).toEqual([false, false, false, false, false, false]);
  expect(room.me.muted).toBe(true);
});

test("the microphone opens at the latest request's grant, not at that of an earlier one", async () => {
  const audioTrack = fakeTrack();
  const room = await joined({ audioTrack });
  FakeSocket.last.say({ type: "participant_updated", participant: wireParticipant("me", { muted: true }) });
  const wishes = [room.mute(false), room.mute(true), room.mute(false)];
  await settle();
  const enabled: boolean[] = [];
  for (const { id } of FakeSocket.last.sent.filter(({ type }) => type === "mute")) {
    FakeSocket.last.say({ type: "ok", re: id });
    await settle();
    enabled.push(audioTrack.enabled);
  }
  await Promise.all(wishes);
  expect(enabled).toEqual([false, false, true]);
});

test("a moderator's mute disables the track, and that of a track set later", async () => {
  const audioTrack = fakeTrack();
  const room = await joined({ audioTrack });
  FakeSocket.last.say({
    type: "participant_updated",
    participant: wireParticipant("me", { muted: true }),
  });
  expect(audioTrack.enabled).toBe(false);
  const another = fakeTrack();
  await room.setAudioTrack(another);
  expect(another.enabled).toBe(false);
  expect(FakePeer.last.transceivers[0]?.sender.track).toBe(another);
});

test("what is shared goes beside the microphone, without an offer, and on over a new connection", async () => {
  const [audioTrack, sound] = [fakeTrack(), fakeTrack()];
  const room = await joined({ audioTrack });
  const sent = () => [0, 4].map((mline) => FakePeer.last.transceivers[mline]?.sender.track);
  await room.shareAudio(sound);
  expect(room.sharedAudio).toBe(sound);
  expect(sent()).toEqual([audioTrack, sound]);
  expect(FakeSocket.last.sent.filter(({ type }) => type === "offer")).toHaveLength(1);
  const screens: MediaStreamTrack[] = [];
  room.on("screen", ({ track }) => screens.push(track));
  FakePeer.last.close();
  await vi.advanceTimersByTimeAsync(1_000);
  expect(FakePeer.all).toHaveLength(2);
  FakeSocket.last.reply("offer", answer());
  await settle();
  expect(sent()).toEqual([audioTrack, sound]);
  expect(screens).toEqual([FakePeer.last.transceivers[5]?.receiver.track]);
  await room.shareAudio(null);
  expect(sent()).toEqual([audioTrack, null]);
});

test("microphone and screen are muted apart", async () => {
  const [audioTrack, sound] = [fakeTrack(), fakeTrack()];
  const room = await joined({ audioTrack });
  await room.shareAudio(sound);
  const enabled = () => [audioTrack.enabled, sound.enabled];
  const silenced = wireParticipant("me", { screen_muted: true });
  FakeSocket.last.say({ type: "participant_updated", participant: silenced });
  expect(enabled()).toEqual([true, false]);
  const wishes = [room.muteScreen(false), room.mute(true)];
  await settle();
  expect(enabled()).toEqual([false, false]);
  const asked = FakeSocket.last.sent.filter(({ type }) => type === "mute");
  expect(asked.map(({ track, muted }) => [track, muted])).toEqual([
    ["screen", false],
    ["microphone", true],
  ]);
  for (const { id } of asked) FakeSocket.last.say({ type: "ok", re: id });
  await Promise.all(wishes);
  expect(enabled()).toEqual([false, true]);
  expect([room.me.muted, room.me.screenMuted]).toEqual([true, false]);
  const others = [room.muteParticipant("ann"), room.muteParticipant("ann", { track: "screen" })];
  await settle();
  const requests = FakeSocket.last.sent.filter(({ type }) => type === "mute_participant");
  expect(requests.map(({ track }) => track)).toEqual(["microphone", "screen"]);
  for (const { id } of requests) FakeSocket.last.say({ type: "ok", re: id });
  await Promise.all(others);
});

test("media that is gone for 2 s restarts ICE, and gets a new connection if that doesn't help in 5 s", async () => {
  const room = await joined();
  const before = room.slots.map((slot) => slot);
  const slots = vi.fn();
  room.on("slots", slots);

  FakePeer.last.become("disconnected");
  await vi.advanceTimersByTimeAsync(1_999);
  expect(room.state).toBe("connected");
  await vi.advanceTimersByTimeAsync(1);
  expect(room.state).toBe("reconnecting");
  expect(FakePeer.last.restarts).toBe(1);
  FakeSocket.last.reply("offer", answer());
  FakeSocket.last.reply("ping", { type: "pong" });
  await vi.advanceTimersByTimeAsync(5_000);

  expect(FakePeer.all).toHaveLength(2);
  expect(FakePeer.all[0]?.connectionState).toBe("closed");
  expect(FakeSocket.last.request("offer")).toMatchObject({ fresh: true });
  FakeSocket.last.reply("offer", answer());
  await settle();
  expect(slots).toHaveBeenCalledOnce();
  expect(room.slots).toEqual(before);
  expect(room.slots[0]?.track).toBe(FakePeer.last.transceivers[1]?.receiver.track);
  FakePeer.last.become("connected");
  await settle();
  expect(room.state).toBe("connected");
  expect(room.peerConnection).toBe(FakePeer.last);
});

test("media that never got through is reported after 10 s, once, and tried on", async () => {
  const promise = connect({ url: "https://example.org", token: "jwt" });
  FakeSocket.last.open();
  FakeSocket.last.reply("join", welcome());
  await settle();
  FakeSocket.last.reply("offer", answer());
  const room = await promise;
  const codes: string[] = [];
  room.on("error", ({ code }) => codes.push(code));
  FakePeer.last.become("connecting");
  await vi.advanceTimersByTimeAsync(9_999);
  expect(codes).toEqual([]);
  await vi.advanceTimersByTimeAsync(1);
  expect(codes).toEqual(["media_unreachable"]);
  expect(room.state).toBe("reconnecting");
  expect(room.webSocket).not.toBeNull();
  for (const ms of [5_000, 10_000]) {
    FakeSocket.last.reply("offer", answer());
    FakeSocket.last.reply("ping", { type: "pong" });
    await vi.advanceTimersByTimeAsync(ms);
  }
  expect(FakePeer.all.length).toBeGreaterThan(1);
  expect(codes).toEqual(["media_unreachable"]);
});

test("nobody's level outlives the WebSocket that told it", async () => {
  const room = await joined();
  FakeSocket.last.say({ type: "speakers", levels: [{ participant: "ann", level_dbov: -20 }] });
  const speakers = vi.fn();
  room.on("speakers", speakers);
  FakeSocket.last.drop();
  expect(speakers).toHaveBeenCalledExactlyOnceWith([]);
  expect(room.participants.get("ann")?.levelDbov).toBe(-127);
});

test("a connection that the server doesn't know is replaced at once", async () => {
  await joined();
  FakePeer.last.become("failed");
  await settle();
  FakeSocket.last.reply("offer", { type: "error", code: "no_connection", message: "", fatal: false });
  await settle();
  expect(FakePeer.all).toHaveLength(2);
  expect(FakeSocket.last.request("offer")).toMatchObject({ fresh: true });
});

test("a connection that was closed from outside is replaced", async () => {
  const room = await joined();
  FakePeer.last.close();
  await vi.advanceTimersByTimeAsync(1_000);
  expect(room.state).toBe("reconnecting");
  expect(FakePeer.all).toHaveLength(2);
  expect(FakeSocket.last.request("offer")).toMatchObject({ fresh: true });
});

test("a connection that comes back within 2 s is left alone", async () => {
  const room = await joined();
  FakePeer.last.become("disconnected");
  await vi.advanceTimersByTimeAsync(1_000);
  FakePeer.last.become("connected");
  await vi.advanceTimersByTimeAsync(10_000);
  expect(room.state).toBe("connected");
  expect(FakePeer.last.restarts).toBe(0);
});

test("reliable data waits for its channel, lossy data doesn't", async () => {
  const room = await joined();
  const [reliable, lossy] = FakePeer.last.channels;
  expect(room.send({ n: 1 })).toBe(true);
  expect(room.send({ n: 2 }, { reliable: false })).toBe(false);
  reliable?.open();
  lossy?.open();
  expect(reliable?.sent).toEqual([{ data: { n: 1 } }]);
  room.send("hi", { to: ["ann"], reliable: false });
  expect(lossy?.sent).toEqual([{ to: ["ann"], data: "hi" }]);
  expect(() => room.send("x".repeat(15 * 1024))).toThrow(expect.objectContaining({ code: "too_large" }));
});

/** Replaces the peer connection as a long outage does, and opens the new one's channels. */
async function replacedPeer(): Promise<void> {
  FakePeer.last.become("failed");
  await settle();
  FakeSocket.last.reply("offer", { type: "error", code: "no_connection", message: "", fatal: false });
  await settle();
  FakeSocket.last.reply("offer", answer());
  await settle();
  FakePeer.last.become("connected");
  for (const channel of FakePeer.last.channels) channel.open();
}

test("reliable data sent in an outage waits for the connection, or for the one that replaces it", async () => {
  const room = await joined();
  const [reliable, lossy] = FakePeer.last.channels;
  reliable?.open();
  lossy?.open();
  FakePeer.last.become("disconnected");
  expect(room.send(1)).toBe(true);
  expect(room.send(2, { reliable: false })).toBe(false);
  expect(reliable?.sent).toEqual([]);
  FakePeer.last.become("connected");
  expect(reliable?.sent).toEqual([{ data: 1 }]);

  FakePeer.last.become("disconnected");
  for (let n = 0; n < 64; n++) room.send(n);
  expect(() => room.send(64)).toThrow(expect.objectContaining({ code: "busy" }));
  await replacedPeer();
  expect(reliable?.sent).toHaveLength(1);
  expect(FakePeer.last.channels[0]?.sent).toEqual(Array.from({ length: 64 }, (_, n) => ({ data: n })));
});

test("reliable data that the browser didn't send goes out on the connection that replaces the first", async () => {
  const room = await joined();
  const reliable = FakePeer.last.channels[0];
  reliable?.open();
  if (reliable) reliable.bufferedAmount = 1000;
  for (const text of ["sent", "half sent", "not sent"]) room.send(text);
  if (reliable) reliable.bufferedAmount = '{"data":"not sent"}'.length + 1;
  await replacedPeer();
  expect(FakePeer.last.channels[0]?.sent).toEqual([{ data: "half sent" }, { data: "not sent" }]);
});

test("reliable data waits for a full buffer to drain", async () => {
  const room = await joined();
  const reliable = FakePeer.last.channels[0];
  reliable?.open();
  if (reliable) reliable.bufferedAmount = 2 ** 20 + 1;
  expect(room.send(1)).toBe(true);
  expect(reliable?.sent).toEqual([]);
  if (reliable) reliable.bufferedAmount = 0;
  reliable?.onbufferedamountlow?.();
  expect(reliable?.sent).toEqual([{ data: 1 }]);
});

test("data arrives with its sender", async () => {
  const room = await joined();
  const data = vi.fn();
  room.on("data", data);
  FakePeer.last.channels[0]?.onmessage?.({ data: '{"from":"ann","data":[1]}' });
  expect(data).toHaveBeenCalledWith({
    from: "ann",
    data: [1],
    participant: room.participants.get("ann"),
    reliable: true,
  });
});

test("leaving says so and closes", async () => {
  const room = await joined();
  const leaving = room.leave();
  FakeSocket.last.request("leave");
  FakeSocket.last.say({ type: "left", reason: "left" });
  await leaving;
  expect(room.state).toBe("closed");
  expect(room.closeReason).toBe("left");
  expect(FakePeer.last.connectionState).toBe("closed");
});

test("leaving while reconnecting closes at once, and the session is resumed to say so", async () => {
  const room = await joined();
  FakeSocket.last.drop();
  await vi.advanceTimersByTimeAsync(100);
  await room.leave();
  expect(room.closeReason).toBe("left");
  FakeSocket.last.drop();
  await vi.advanceTimersByTimeAsync(500);
  await resumed();
  expect(FakeSocket.last.sent.map(({ type }) => type)).toEqual(["resume", "leave"]);
  expect(FakeSocket.last.readyState).toBe(3);
  await vi.advanceTimersByTimeAsync(60_000);
  expect(FakeSocket.all).toHaveLength(3);
  expect(room.closeReason).toBe("left");
});

test("the server is told of a leave for no longer than it keeps the session", async () => {
  const room = await joined();
  const left = vi.fn();
  room.on("left", left);
  FakeSocket.last.drop();
  await room.leave();
  const from = performance.now();
  let last = from;
  while (performance.now() - from < 120_000) {
    const before = FakeSocket.all.length;
    await vi.advanceTimersByTimeAsync(250);
    if (FakeSocket.all.length > before) last = performance.now();
    FakeSocket.last.drop();
  }
  expect(last - from).toBeGreaterThan(20_000);
  expect(last - from).toBeLessThanOrEqual(30_000);
  expect(left).toHaveBeenCalledExactlyOnceWith("left");
});

test("a leave whose WebSocket broke is said on the one that follows", async () => {
  const room = await joined();
  const leaving = room.leave();
  FakeSocket.last.drop();
  await leaving;
  expect(room.closeReason).toBe("left");
  await resumed();
  expect(FakeSocket.last.sent.map(({ type }) => type)).toEqual(["resume", "leave"]);
});

test("a removal closes the room for good", async () => {
  const room = await joined();
  FakeSocket.last.say({ type: "left", reason: "removed" });
  FakeSocket.last.drop();
  await vi.advanceTimersByTimeAsync(60_000);
  expect(room.closeReason).toBe("removed");
  expect(FakeSocket.all).toHaveLength(1);
});

test("a moderator has somebody called, follows the call, and hangs up", async () => {
  const room = await joined({}, undefined, { dial: { users: false, trunks: ["a", "b"] } });
  expect(room.dialRights).toEqual({ users: false, trunks: ["a", "b"] });
  const states: string[] = [];
  room.on("call", ({ state }) => states.push(state));
  const dialling = room.dial({ to: "+4930123456", trunk: "b", name: "Ben" });
  await settle();
  expect(FakeSocket.last.request("dial")).toMatchObject({ to: "+4930123456", trunk: "b", name: "Ben" });
  const call = { call: 3, name: "Ben", state: "dialling", participant: null };
  FakeSocket.last.say({ type: "call_updated", call });
  FakeSocket.last.reply("dial", { type: "dialled", call: 3 });
  expect(await dialling).toBe(room.calls.get(3));
  FakeSocket.last.say({ type: "call_updated", call: { ...call, state: "ringing" } });

  const hangingUp = room.hangUp(3);
  await settle();
  expect(FakeSocket.last.request("hang_up")).toMatchObject({ call: 3 });
  FakeSocket.last.ok("hang_up");
  await hangingUp;
  FakeSocket.last.say({ type: "call_updated", call: { ...call, state: "ended", reason: "cancelled" } });
  expect(states).toEqual(["dialling", "ringing", "ended"]);
  expect(room.calls.size).toBe(0);
});

test("an order that is refused says why, and one whose answer is lost isn't given twice", async () => {
  const room = await joined({}, undefined, { dial: { users: true, trunks: [] } });
  const refused = room.dial({ to: "+4930123456" });
  await settle();
  FakeSocket.last.reply("dial", { type: "error", code: "forbidden", message: "no", fatal: false });
  await expect(refused).rejects.toMatchObject({ code: "forbidden" });

  const lost = room.dial({ to: "ada" });
  await settle();
  FakeSocket.last.drop();
  await expect(lost).rejects.toMatchObject({ code: "connection_lost" });
  await vi.advanceTimersByTimeAsync(1000);
  await resumed({ dial: { users: true, trunks: [] } });
  expect(FakeSocket.last.sent.filter(({ type }) => type === "dial")).toEqual([]);
});
