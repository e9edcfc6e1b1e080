// @vitest-environment happy-dom
// A room in React: what components render while people come, speak and are seen.

import { act, createElement as h, StrictMode, useState } from "react";
import { createRoot, type Root } from "react-dom/client";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import {
  type EnteredRoom,
  useParticipants,
  useRoom,
  useSound,
  useSpeakers,
  useVideoSlot,
  useVideoSlots,
} from "../src/react.js";
import type { ConnectOptions, Participant, Room } from "../src/tercet.js";
import { joined } from "./entering.js";
import { answer, FakePeer, FakeSocket, playWithFakes, settle, welcome, wireParticipant } from "./fakes.js";

playWithFakes();

const OPTIONS: ConnectOptions = { url: "https://example.org", token: "jwt", video: true };

class FakeStream {
  constructor(readonly tracks: unknown[]) {}
  getTracks() {
    return this.tracks;
  }
}

let root: Root;

beforeEach(() => {
  vi.stubGlobal("IS_REACT_ACT_ENVIRONMENT", true);
  vi.stubGlobal("MediaStream", FakeStream);
  vi.stubGlobal(
    "ResizeObserver",
    class {
      observe() {}
      disconnect() {}
    },
  );
  vi.stubGlobal(
    "IntersectionObserver",
    class {
      observe() {}
      disconnect() {}
    },
  );
  vi.spyOn(HTMLMediaElement.prototype, "play").mockResolvedValue();
  Object.defineProperty(HTMLMediaElement.prototype, "srcObject", {
    value: null,
    writable: true,
    configurable: true,
  });
  document.body.innerHTML = "<main></main>";
  root = createRoot(document.querySelector("main") as HTMLElement);
});

afterEach(() => act(async () => root.unmount()));

/** Renders what a hook returns, and remembers it. */
async function rendered<T>(hook: () => T, strict = false): Promise<() => T> {
  let latest: T;
  const Probe = () => {
    latest = hook();
    return null;
  };
  await act(async () => root.render(strict ? h(StrictMode, null, h(Probe)) : h(Probe)));
  return () => latest;
}

const say = (message: Record<string, unknown>) => act(async () => FakeSocket.last.say(message));

async function letIn(): Promise<void> {
  await act(async () => {
    FakeSocket.last.open();
    FakeSocket.last.reply("join", welcome());
    await settle();
    FakeSocket.last.reply("offer", answer());
    await settle();
  });
}

test("a room is entered once, told of, and left with the component", async () => {
  const now = await rendered(() => useRoom(OPTIONS), true);
  expect(now()).toMatchObject({ room: null, status: "connecting" });
  await act(async () => vi.advanceTimersByTime(1));
  expect(FakeSocket.all).toHaveLength(1);
  await letIn();
  expect(now()).toMatchObject({ status: "connected", error: null });
  expect(now().room?.id).toBe("hall");
  await act(async () => FakeSocket.last.drop());
  expect(now().status).toBe("reconnecting");
  await act(async () => vi.advanceTimersByTime(250));
  await act(async () => {
    FakeSocket.last.open();
    FakeSocket.last.reply("resume", welcome({ type: "resumed" }));
    await settle();
  });
  expect(now().status).toBe("connected");
  await act(async () => root.unmount());
  expect(FakeSocket.last.request("leave")).toBeTruthy();
  root = createRoot(document.createElement("div"));
});

test("without options nothing is entered, another token is another session, and a refusal is told", async () => {
  let setToken = (_: string | null) => {};
  const now = await rendered<EnteredRoom>(() => {
    const [token, set] = useState<string | null>(null);
    setToken = set;
    return useRoom(token === null ? null : { ...OPTIONS, token });
  });
  expect([now().status, FakeSocket.all.length]).toEqual(["idle", 0]);
  const enter = async (token: string | null) => {
    await act(async () => setToken(token));
    await act(async () => vi.advanceTimersByTime(1));
  };
  await enter("one");
  await letIn();
  const first = FakeSocket.last;
  await enter("two");
  expect(first.request("leave")).toBeTruthy();
  expect(now()).toMatchObject({ room: null, status: "connecting" });
  await act(async () => {
    FakeSocket.last.open();
    FakeSocket.last.reply("join", { type: "error", code: "room_full", message: "full", fatal: true });
    await settle();
  });
  expect(now()).toMatchObject({ room: null, status: "failed", error: { code: "room_full" } });
  await enter(null);
  expect(now().status).toBe("idle");
});

test("participants are new objects where they changed, and the same ones where they didn't", async () => {
  const room = await joined({ video: true });
  const now = await rendered(() => useParticipants(room));
  const byId = () => new Map(now().map((it) => [it.id, it]));
  const before = byId();
  expect([...before.keys()]).toEqual(["me", "ann"]);
  await say({ type: "participant_updated", participant: wireParticipant("ann", { muted: true }) });
  expect(byId().get("ann")).toMatchObject({ name: "ANN", muted: true });
  expect(before.get("ann")).toMatchObject({ muted: false });
  expect(byId().get("me")).toBe(before.get("me"));
  await say({ type: "participant_joined", participant: wireParticipant("ben") });
  await say({ type: "participant_left", participant: "ann", reason: "left" });
  expect([...byId().keys()]).toEqual(["me", "ben"]);
});

test("speakers are those who are heard now", async () => {
  const room = await joined();
  const now = await rendered(() => useSpeakers(room));
  expect(now()).toEqual([]);
  await say({ type: "speakers", levels: [{ participant: "ann", level_dbov: -20 }] });
  expect(now().map(({ participant, levelDbov }) => [participant.id, levelDbov])).toEqual([["ann", -20]]);
  await say({ type: "speakers", levels: [] });
  expect(now()).toEqual([]);
});

test("a slot's video plays its track, and is the participant's from their first frame on", async () => {
  const room = await joined({ video: true });
  const told: [string | undefined, boolean][] = [];
  const Slot = ({ of }: { of: Room }) => {
    const { ref, participant, isShown } = useVideoSlot(of, 0);
    told.push([participant?.name, isShown]);
    return h("video", { ref });
  };
  await act(async () => root.render(h(Slot, { of: room })));
  const video = document.querySelector("video") as HTMLVideoElement;
  expect((video.srcObject as unknown as FakeStream).tracks).toEqual([room.videoSlots[0]?.track]);
  expect(video.muted).toBe(true);
  const sources = FakePeer.last.transceivers[8]?.receiver.sources ?? [];
  const shows = (id: string) =>
    say({
      type: "video",
      slots: [
        { index: 0, mid: "8", participant: id },
        { index: 1, mid: "9", participant: null },
      ],
    });
  await shows("ann");
  expect(told.at(-1)).toEqual(["ANN", false]);
  await act(async () => vi.advanceTimersByTime(100));
  expect(told.at(-1)).toEqual(["ANN", false]);
  sources.push({ source: 3, timestamp: 1 });
  await act(async () => vi.advanceTimersByTime(100));
  expect(told.at(-1)).toEqual(["ANN", true]);
  await say({ type: "participant_joined", participant: wireParticipant("ben", { camera_source: 9 }) });
  told.length = 0;
  await shows("ben");
  // Not even once with the picture of another.
  expect(told).not.toContainEqual(["BEN", true]);
});

test("video slots are told as values", async () => {
  const room = await joined({ video: true });
  const now = await rendered(() => useVideoSlots(room));
  const before = now();
  await say({ type: "video", slots: [{ index: 1, mid: "9", participant: "ann", origin: "screen_video" }] });
  const named = (participant: Participant | null) => participant?.id ?? null;
  expect(before.map(({ participant }) => named(participant))).toEqual([null, null]);
  expect(now().map(({ participant, origin }) => [named(participant), origin])).toEqual([
    [null, "camera"],
    ["ann", "screen_video"],
  ]);
});

test("the sound of a room is played, and a browser that holds it back is told of", async () => {
  const play = vi.spyOn(HTMLMediaElement.prototype, "play");
  play.mockRejectedValue(new DOMException("", "NotAllowedError"));
  const room = await joined();
  const now = await rendered(() => useSound(room));
  expect(play).toHaveBeenCalledTimes(4);
  await act(settle);
  expect(now().isBlocked).toBe(true);
  play.mockResolvedValue();
  await act(async () => now().play());
  expect(now().isBlocked).toBe(false);
  expect(play).toHaveBeenCalledTimes(8);
});
