// The story of cameras and of those who watch them, with stand-ins for the server and the browser.

import { expect, test, vi } from "vitest";
import { StatsMeter } from "../src/stats.js";
import { connect, type Room } from "../src/tercet.js";
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

/** In the order of the offer: six of audio, then the camera's, the screen's and the two video slots. */
const CAMERA = 6;
const line = (index: number) => FakePeer.last.transceivers[index];
const sent = () => line(CAMERA)?.sender.track;
/** Of the encodings that the camera is sent in. */
const scales = () =>
  line(CAMERA)
    ?.sender.encodings.filter(({ active }) => active)
    .map(({ scaleResolutionDownBy }) => scaleResolutionDownBy);
const seen = (...ids: (string | null)[]) =>
  ids.map((participant, index) => ({ index, mid: String(8 + index), participant }));
const watchedNow = (room: Room) => room.videoSlots.map(({ participant }) => participant?.id ?? null);

test("without video nothing of it is offered, and no camera can be sent", async () => {
  const room = await joined();
  expect(FakePeer.last.transceivers).toHaveLength(6);
  expect(room.videoSlots).toEqual([]);
  await expect(room.setVideoTrack(fakeTrack())).rejects.toMatchObject({ code: "no_video" });
  expect(room.videoTrack).toBeNull();
});

test("in a room without video a client that wants it comes in all the same", async () => {
  const withoutVideo = { room: { id: "hall", slots: 3, video_slots: 0 } };
  const room = await joined({ videoTrack: fakeTrack() }, undefined, withoutVideo);
  expect(FakePeer.last.transceivers).toHaveLength(6);
  expect(room.videoTrack).toBeNull();
});

test("with video one camera and the slots are offered at once, and the slots are attached by mid", async () => {
  const videoTrack = fakeTrack({ width: 1080, height: 1920 });
  const promise = connect({ url: "https://example.org/", token: "jwt", videoTrack });
  FakeSocket.last.open();
  FakeSocket.last.reply("join", welcome());
  await settle();
  const mids = ["9", "8"].map((mid, index) => ({ index, mid }));
  FakeSocket.last.reply("offer", { ...answer(), video: mids });
  const room = await promise;
  const directions = FakePeer.last.transceivers.slice(CAMERA).map(({ direction }) => direction);
  expect(directions).toEqual(["sendonly", "sendonly", "recvonly", "recvonly"]);
  expect(sent()).toBe(videoTrack);
  expect(scales()).toEqual([6, 3, 1.5]);
  expect(room.videoSlots.map(({ track }) => track)).toEqual([
    line(9)?.receiver.track,
    line(8)?.receiver.track,
  ]);
});

test("a camera is set, replaced and withdrawn without an offer, and limited to what is watched", async () => {
  const room = await joined({ video: true });
  expect(sent()).toBeNull();
  const [large, small] = [fakeTrack({ width: 1920, height: 1080 }), fakeTrack({ width: 640, height: 480 })];
  for (const [track, scaled] of [
    [large, [6, 3, 1.5]],
    [small, [2, 1]],
  ] as const) {
    await room.setVideoTrack(track);
    expect(sent()).toBe(track);
    expect(scales()).toEqual(scaled);
  }
  await room.setVideoTrack(null);
  expect(sent()).toBeNull();
  expect(FakeSocket.last.sent.filter(({ type }) => type === "offer")).toHaveLength(1);
});

test("no layer is offered as one that rests, also of a small picture", async () => {
  const promise = connect({
    url: "https://example.org/",
    token: "jwt",
    videoTrack: fakeTrack({ width: 160, height: 90 }),
  });
  FakeSocket.last.open();
  FakeSocket.last.reply("join", welcome());
  await settle();
  expect(line(CAMERA)?.sender.encodings.map(({ rid, active }) => [rid, active])).toEqual([
    ["l", undefined],
    ["m", undefined],
    ["h", undefined],
  ]);
  FakeSocket.last.reply("offer", answer());
  await promise;
  await settle();
  expect(line(CAMERA)?.sender.encodings.map(({ active }) => active)).toEqual([true, false, false]);
});

test("layers that nobody watches rest, until they are watched or the connection is another one", async () => {
  const room = await joined({ videoTrack: fakeTrack({ width: 1280, height: 720 }) });
  const wanted = async (layers: number, origin = "camera") => {
    FakeSocket.last.say({ type: "video_wanted", origin, layers });
    await settle();
    return scales();
  };
  expect(await wanted(1)).toEqual([4]);
  expect(await wanted(2, "screen_video")).toEqual([4]);
  expect(await wanted(2)).toEqual([4, 2]);
  // It is of the line, not of the track.
  await room.setVideoTrack(fakeTrack({ width: 1920, height: 1080 }));
  expect(scales()).toEqual([6, 3]);
  FakeSocket.last.drop();
  await vi.advanceTimersByTimeAsync(250);
  await resumed();
  expect(scales()).toEqual([6, 3]);
  FakePeer.last.close();
  await vi.advanceTimersByTimeAsync(1_000);
  FakeSocket.last.reply("offer", answer());
  await settle();
  expect(scales()).toEqual([6, 3, 1.5]);
});

test("a server that takes one layer gets the whole picture in it", async () => {
  await joined({ videoTrack: fakeTrack({ width: 1280, height: 720 }) });
  const sender = line(CAMERA)?.sender;
  if (!sender) throw new Error("there is a line for the camera");
  sender.encodings.splice(1);
  FakeSocket.last.say({ type: "video_wanted", origin: "camera", layers: 1 });
  await settle();
  expect(sender.encodings).toMatchObject([{ maxBitrate: 1_500_000, scaleResolutionDownBy: 1 }]);
});

test("what a browser refuses to be sent as is sent as it can be", async () => {
  vi.spyOn(console, "warn").mockReturnValue();
  const wishes: object[][] = [];
  const { addTransceiver } = FakePeer.prototype;
  vi.spyOn(FakePeer.prototype, "addTransceiver").mockImplementation(function (this: FakePeer, what, init) {
    if (init.sendEncodings) wishes.push(init.sendEncodings);
    if (init.sendEncodings && init.sendEncodings.length > 1) throw new TypeError("one is enough");
    return addTransceiver.call(this, what, init);
  });
  await joined({ videoTrack: fakeTrack({ width: 1280, height: 720 }) });
  await settle();
  // The last is the screen's.
  expect(wishes.map(({ length }) => length)).toEqual([3, 3, 1, 1]);
  expect(line(CAMERA)?.sender.encodings).toMatchObject([{ maxBitrate: 1_500_000, scaleResolutionDownBy: 1 }]);
});

test("the codec that is asked for comes first, if the browser sends it", async () => {
  const has = ["VP8", "H264", "rtx", "VP9"].map((name) => ({ mimeType: `video/${name}` }));
  const capabilities = { getCapabilities: () => ({ codecs: has }) };
  vi.stubGlobal("RTCRtpSender", capabilities);
  vi.stubGlobal("RTCRtpReceiver", capabilities);
  for (const [videoCodec, first, encodings] of [
    [undefined, "VP8", 3],
    ["h264", "H264", 3],
    ["vp9", "VP9", 1],
    ["av1", "VP8", 3],
  ] as const) {
    await joined({ video: true, videoCodec });
    expect(line(CAMERA)?.codecs[0]?.mimeType).toBe(`video/${first}`);
    expect(line(CAMERA)?.codecs).toHaveLength(has.length);
    expect(line(CAMERA)?.sender.encodings).toHaveLength(encodings);
  }
});

test("a picture that a moderator withholds isn't sent, and one's own unmute sends it again when granted", async () => {
  const videoTrack = fakeTrack();
  const room = await joined({ videoTrack });
  const muted = wireParticipant("me", { camera_muted: true });
  FakeSocket.last.say({ type: "participant_updated", participant: muted });
  expect([room.me.cameraMuted, videoTrack.enabled, room.videoTrack, sent()]).toEqual([
    true,
    false,
    videoTrack,
    null,
  ]);
  const another = fakeTrack();
  await room.setVideoTrack(another);
  expect([another.enabled, sent()]).toEqual([false, null]);
  await room.setVideoTrack(videoTrack);
  const unmuting = room.muteCamera(false);
  await settle();
  expect(FakeSocket.last.request("mute")).toMatchObject({ muted: false, track: "camera" });
  expect(videoTrack.enabled).toBe(false);
  FakeSocket.last.ok("mute");
  await unmuting;
  expect([videoTrack.enabled, sent()]).toEqual([true, videoTrack]);
  const muting = room.muteParticipant("ann", { track: "camera" });
  await settle();
  expect(FakeSocket.last.request("mute_participant")).toMatchObject({ participant: "ann", track: "camera" });
  FakeSocket.last.ok("mute_participant");
  await muting;
});

test("who is seen is told, and whoever leaves is seen no longer", async () => {
  const room = await joined({ video: true });
  const told = vi.fn();
  room.on("video", told);
  FakeSocket.last.say({ type: "video", slots: seen("ann", null) });
  FakeSocket.last.say({ type: "video", slots: seen("ann", null) });
  expect(told).toHaveBeenCalledExactlyOnceWith(room.videoSlots);
  expect(watchedNow(room)).toEqual(["ann", null]);
  FakeSocket.last.say({ type: "participant_left", participant: "ann", reason: "left" });
  expect(watchedNow(room)).toEqual([null, null]);
});

test("a slot says whether the frames in it are those of whom it shows by now", async () => {
  const [me, ann, ben] = ["me", "ann", "ben"].map((id, index) =>
    wireParticipant(id, { camera_source: index + 3 }),
  );
  const room = await joined({ video: true }, undefined, { participants: [me, ann, ben] });
  const isShown = () => room.videoSlots.map((slot) => slot.isShown);
  const frameOf = (source: number, timestamp: number) => {
    const receiver = line(8)?.receiver;
    receiver?.sources.splice(0, Infinity, ...receiver.sources.filter((it) => it.source !== source), {
      source,
      timestamp,
    });
  };
  expect(isShown()).toEqual([false, false]);
  FakeSocket.last.say({ type: "video", slots: seen("ann", null) });
  expect(isShown()).toEqual([false, false]);
  frameOf(4, 1_000);
  expect(isShown()).toEqual([true, false]);
  FakeSocket.last.say({ type: "video", slots: seen("ben", null) });
  frameOf(4, 1_033);
  expect(isShown()).toEqual([false, false]);
  frameOf(5, 1_066);
  expect(isShown()).toEqual([true, false]);
  FakeSocket.last.say({ type: "video", slots: seen("ann", null) });
  expect(isShown()).toEqual([false, false]);
  frameOf(4, 1_100);
  expect(isShown()).toEqual([true, false]);
});

test("a resumed session says who is seen now, and what is missing is nobody", async () => {
  const room = await joined({ video: true });
  FakeSocket.last.say({ type: "video", slots: seen("ann", "me") });
  FakeSocket.last.drop();
  await vi.advanceTimersByTimeAsync(250);
  await resumed({ video: seen(null, "ann") });
  expect(watchedNow(room)).toEqual([null, "ann"]);
  FakeSocket.last.drop();
  await vi.advanceTimersByTimeAsync(500);
  await resumed();
  expect(watchedNow(room)).toEqual([null, null]);
});

test("a connection that is replaced has the camera and the video slots from its first offer on", async () => {
  const videoTrack = fakeTrack();
  const room = await joined({ videoTrack });
  const told = vi.fn();
  room.on("video", told);
  FakePeer.last.close();
  await vi.advanceTimersByTimeAsync(1_000);
  FakeSocket.last.reply("offer", answer());
  await settle();
  expect(FakePeer.all).toHaveLength(2);
  expect(sent()).toBe(videoTrack);
  expect(told).toHaveBeenCalledOnce();
  expect(room.videoSlots[0]?.track).toBe(line(8)?.receiver.track);
});

test("a camera that is set on a connection that is over is sent on the next", async () => {
  const room = await joined({ video: true });
  const closed = FakePeer.last;
  const sender = line(CAMERA)?.sender;
  if (!sender) throw new Error("there is a line for the camera");
  // Some browsers refuse, others never answer.
  closed.close();
  sender.replaceTrack = () => Promise.reject(new DOMException("it is closed", "InvalidStateError"));
  await room.setVideoTrack(fakeTrack());
  sender.replaceTrack = () => new Promise(() => {});
  const track = fakeTrack();
  const set = room.setVideoTrack(track);
  await vi.advanceTimersByTimeAsync(1_000);
  await set;
  expect(FakePeer.all).toHaveLength(2);
  expect(sent()).toBe(track);
});

test("what a browser refuses of a connection that stands is told", async () => {
  const room = await joined({ video: true });
  const sender = line(CAMERA)?.sender;
  if (sender) sender.replaceTrack = () => Promise.reject(new TypeError("no camera"));
  await expect(room.setVideoTrack(fakeTrack())).rejects.toThrow("no camera");
});

test("whom one watches is asked for once, and again where the reply was lost", async () => {
  const room = await joined({ video: true });
  const watching = room.watch("ann");
  await settle();
  FakeSocket.last.drop();
  await vi.advanceTimersByTimeAsync(250);
  await resumed();
  expect(FakeSocket.last.request("watch")).toMatchObject({ participant: "ann" });
  expect(room.watched).toBeNull();
  FakeSocket.last.ok("watch");
  await watching;
  expect(room.watched).toBe("ann");
  const ending = room.watch(null);
  await settle();
  expect(FakeSocket.last.request("watch").participant).toBeUndefined();
  FakeSocket.last.ok("watch");
  await ending;
});

test("several are watched in their order", async () => {
  const room = await joined({ video: true });
  const watching = room.watch(["ann", "ben"]);
  await settle();
  expect(FakeSocket.last.request("watch")).toMatchObject({ participants: ["ann", "ben"] });
  FakeSocket.last.ok("watch");
  await watching;
  expect([room.watched, room.watchedIds]).toEqual(["ann", ["ann", "ben"]]);
});

test("on another node one has the same camera, and watches the same", async () => {
  const TWO = "https://two.example.org";
  const videoTrack = fakeTrack();
  const room = await joined({ videoTrack, url: "https://one.example.org" }, undefined, { nodes: [TWO] });
  const watching = room.watch("ann");
  await settle();
  FakeSocket.last.ok("watch");
  await watching;
  const former = FakePeer.last;
  FakeSocket.last.say({ type: "closing", deadline_ms: 9_000, nodes: [TWO] });
  await vi.advanceTimersByTimeAsync(2_000);
  FakeSocket.last.open();
  FakeSocket.last.reply(
    "join",
    welcome({ session: { id: "s2", secret: "", resume_ms: 30_000, idle_ms: 30_000 } }),
  );
  await settle();
  expect(FakeSocket.last.request("watch")).toMatchObject({ participant: "ann" });
  FakeSocket.last.reply("offer", answer());
  await settle();
  FakeSocket.last.say({ type: "video", slots: seen("ann", null) });
  FakePeer.last.become("connected");
  // Until then it is sent by way of one of them only.
  expect([former.transceivers[CAMERA]?.sender.track, sent()]).toEqual([videoTrack, null]);
  await vi.advanceTimersByTimeAsync(300);
  expect(room.url).toBe(TWO);
  expect([former.transceivers[CAMERA]?.sender.track, sent()]).toEqual([null, videoTrack]);
  expect(watchedNow(room)).toEqual(["ann", null]);
  expect(room.videoSlots[0]?.track).toBe(line(8)?.receiver.track);
});

test("a camera that was withheld is so on another node too", async () => {
  const options = { videoTrack: fakeTrack(), url: ["https://one.example.org", "https://two.example.org"] };
  const room = await joined(options);
  const muting = room.muteCamera(true);
  await settle();
  FakeSocket.last.ok("mute");
  await muting;
  FakeSocket.last.drop();
  await vi.advanceTimersByTimeAsync(1);
  FakeSocket.last.drop();
  await vi.advanceTimersByTimeAsync(1_000);
  FakeSocket.last.open();
  FakeSocket.last.reply("join", welcome());
  await settle();
  expect(FakeSocket.last.request("mute")).toMatchObject({ muted: true, track: "camera" });
  FakeSocket.last.reply("offer", answer());
  await settle();
  expect([room.url, sent()]).toEqual(["https://two.example.org", null]);
  expect(room.me.cameraMuted).toBe(true);
});

test("of each video slot the frames, the size and the freezes are measured, and what is sent oneself", () => {
  const slot = { index: 0, track: fakeTrack(), participant: null, origin: "camera" as const, isShown: false };
  const report = (seconds: number) =>
    new Map<string, object>([
      [
        "o",
        {
          type: "outbound-rtp",
          id: "o",
          mid: "6",
          rid: "m",
          bytesSent: seconds * 50_000,
          framesEncoded: seconds * 15,
          frameWidth: 640,
          frameHeight: 360,
        },
      ],
      [
        "i",
        {
          type: "inbound-rtp",
          trackIdentifier: slot.track.id,
          bytesReceived: seconds * 100_000,
          packetsReceived: seconds * 100,
          jitter: 0.5,
          framesDecoded: seconds * 25,
          frameWidth: 640,
          frameHeight: 360,
          freezeCount: seconds,
          totalFreezesDuration: seconds * 0.2,
        },
      ],
    ]) as unknown as RTCStatsReport;
  const meter = new StatsMeter();
  const measure = (seconds: number) => {
    vi.advanceTimersByTime(1000);
    const room = { slots: [], screen: { ...slot, track: fakeTrack() }, videoSlots: [slot] };
    return meter.measure(report(seconds), room, new Map([["6", "camera"]]));
  };
  measure(1);
  const { video, sentVideo, bitrateInBps, jitterMs } = measure(2);
  expect(video).toEqual([
    {
      index: 0,
      participant: null,
      origin: "camera",
      bitrateBps: 800_000,
      lossRatio: 0,
      framesPerSecond: 25,
      width: 640,
      height: 360,
      freezes: 1,
      freezeMs: expect.closeTo(200),
    },
  ]);
  expect(sentVideo).toEqual([
    { origin: "camera", rid: "m", bitrateBps: 400_000, framesPerSecond: 15, width: 640, height: 360 },
  ]);
  expect(bitrateInBps).toBe(800_000);
  // A picture waits for its packets, which is no jitter that anybody hears.
  expect(jitterMs).toBe(0);
});
