// The story of screens that are shared with their picture, and of those who watch them.

import { expect, test, vi } from "vitest";
import type { Room } from "../src/tercet.js";
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

/** In the order of the offer. */
const [SOUND, CAMERA, SCREEN, FIRST_SLOT] = [4, 6, 7, 8];
const line = (index: number) => FakePeer.last.transceivers[index];
const sent = (index: number) => line(index)?.sender.track;
const mutes = () =>
  FakeSocket.last.sent.filter(({ type }) => type === "mute").map(({ muted, track }) => [muted, track]);

async function granted(asking: Promise<void>): Promise<void> {
  await settle();
  FakeSocket.last.ok("mute");
  await asking;
}

function shown(room: Room) {
  return room.videoSlots.map(({ participant, origin }) => [participant?.id ?? null, origin]);
}

test("picture and sound are shared and withdrawn without an offer, the picture to be read", async () => {
  const room = await joined({ video: true });
  const [video, audio] = [fakeTrack({ width: 1920, height: 1080 }), fakeTrack()];
  await room.shareScreen({ video, audio });
  expect([sent(SCREEN), sent(SOUND), sent(CAMERA)]).toEqual([video, audio, null]);
  expect([room.sharedVideo, room.sharedAudio]).toEqual([video, audio]);
  expect(video.contentHint).toBe("detail");
  expect(line(SCREEN)?.sender.encodings).toMatchObject([
    { maxBitrate: 2_500_000, maxFramerate: 15, scaleResolutionDownBy: 1 },
  ]);
  const text = Object.assign(fakeTrack(), { contentHint: "text" });
  await room.shareScreen({ video: text });
  expect([text.contentHint, sent(SCREEN), room.sharedAudio]).toEqual(["text", text, null]);
  await room.shareScreen({});
  expect([sent(SCREEN), room.sharedVideo]).toEqual([null, null]);
  expect(FakeSocket.last.sent.filter(({ type }) => type === "offer")).toHaveLength(1);
});

test("the sound is shared alone where there is no video, or no server that knows of screens", async () => {
  const blind = await joined();
  const old = wireParticipant("me");
  delete old.screen_video_source;
  const former = await joined({ video: true }, undefined, { participants: [old] });
  for (const room of [blind, former]) {
    await expect(room.shareScreen({ video: fakeTrack() })).rejects.toMatchObject({ code: "no_video" });
    expect(room.sharedVideo).toBeNull();
  }
  const audio = fakeTrack();
  await former.shareScreen({ audio });
  expect(sent(SOUND)).toBe(audio);
  expect(former.me).toMatchObject({ screenVideoMuted: false, screenVideoSource: 0 });
});

test("a screen that a moderator withholds isn't sent, and the camera goes on", async () => {
  const camera = fakeTrack();
  const room = await joined({ videoTrack: camera });
  const video = fakeTrack();
  await room.shareScreen({ video });
  const muted = wireParticipant("me", { screen_video_muted: true });
  FakeSocket.last.say({ type: "participant_updated", participant: muted });
  expect([room.me.screenVideoMuted, sent(SCREEN), sent(CAMERA)]).toEqual([true, null, camera]);
  await granted(room.muteScreenVideo(false));
  expect([mutes(), sent(SCREEN)]).toEqual([[[false, "screen_video"]], video]);
});

test("a slot shows somebody's camera, or their screen, and tells whose frames it has", async () => {
  const people = [
    wireParticipant("me"),
    wireParticipant("ann", { camera_source: 5, screen_video_source: 6 }),
  ];
  const room = await joined({ video: true }, undefined, { participants: people });
  const told = vi.fn();
  room.on("video", told);
  const slots = (origin?: string) => [
    { index: 0, mid: "8", participant: "ann", origin },
    { index: 1, mid: "9", participant: null },
  ];
  FakeSocket.last.say({ type: "video", slots: slots() });
  FakeSocket.last.say({ type: "video", slots: slots("camera") });
  expect(shown(room)).toEqual([
    ["ann", "camera"],
    [null, "camera"],
  ]);
  expect(told).toHaveBeenCalledTimes(1);
  line(FIRST_SLOT)?.receiver.sources.push({ source: 5, timestamp: 1 });
  expect(room.videoSlots[0]?.isShown).toBe(true);
  FakeSocket.last.say({ type: "video", slots: slots("screen_video") });
  expect(told).toHaveBeenCalledTimes(2);
  expect([shown(room)[0], room.videoSlots[0]?.isShown]).toEqual([["ann", "screen_video"], false]);
  line(FIRST_SLOT)?.receiver.sources.push({ source: 6, timestamp: 2 });
  expect(room.videoSlots[0]?.isShown).toBe(true);
  FakeSocket.last.drop();
  await vi.advanceTimersByTimeAsync(250);
  await resumed({ video: slots("screen_video") });
  expect(shown(room)[0]).toEqual(["ann", "screen_video"]);
});

test("a screen is shared over another peer connection, and withheld on another node, as before", async () => {
  const options = { video: true, url: ["https://one.example.org", "https://two.example.org"] };
  const room = await joined(options);
  const video = fakeTrack();
  await room.shareScreen({ video });
  FakePeer.last.close();
  await vi.advanceTimersByTimeAsync(1_000);
  FakeSocket.last.reply("offer", answer());
  await settle();
  expect([FakePeer.all.length, sent(SCREEN)]).toEqual([2, video]);
  FakePeer.last.become("connected");
  await granted(room.muteScreenVideo(true));
  expect(sent(SCREEN)).toBeNull();
  FakeSocket.last.drop();
  await vi.advanceTimersByTimeAsync(1);
  FakeSocket.last.drop();
  await vi.advanceTimersByTimeAsync(1_000);
  FakeSocket.last.open();
  FakeSocket.last.reply("join", welcome());
  await settle();
  expect(mutes()).toEqual([[true, "screen_video"]]);
});
