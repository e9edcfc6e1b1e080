// @vitest-environment happy-dom
// Oneself before one enters, and the camera that one enters with.

import type { Room } from "@tercet/sdk";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Camera } from "../src/camera.js";
import { Mirror } from "../src/views/mirror.js";

const CAMERAS = ["front", "back"].map((deviceId) => ({ deviceId, kind: "videoinput", label: deviceId }));

function track() {
  return { stop: vi.fn(), onended: null as (() => void) | null };
}

type FakeTrack = ReturnType<typeof track>;

const getUserMedia = vi.fn(
  async (_: MediaStreamConstraints): Promise<object> => ({ getTracks: () => [track()] }),
);

let devices: object[] = CAMERAS;

beforeEach(() => {
  localStorage.clear();
  devices = CAMERAS;
  getUserMedia.mockClear();
  const mediaDevices = Object.assign(new EventTarget(), {
    getUserMedia,
    enumerateDevices: async () => devices,
  });
  vi.stubGlobal("navigator", { mediaDevices });
  vi.stubGlobal(
    "MediaStream",
    class {
      constructor(readonly tracks: unknown[]) {}
      getTracks = () => this.tracks;
    },
  );
  vi.spyOn(HTMLMediaElement.prototype, "play").mockResolvedValue();
  Object.defineProperty(HTMLMediaElement.prototype, "srcObject", {
    value: null,
    writable: true,
    configurable: true,
  });
});

afterEach(() => vi.unstubAllGlobals());

const asked = () =>
  getUserMedia.mock.calls.map(([{ video }]) => (video as MediaTrackConstraints).deviceId ?? null);

function pieces({ element }: Mirror) {
  const by = <T extends HTMLElement>(testid: string) =>
    element.querySelector(`[data-testid="${testid}"]`) as T;
  return {
    toggle: by<HTMLButtonElement>("join-camera"),
    select: by<HTMLSelectElement>("join-camera-select"),
    trouble: by("join-camera-trouble"),
  };
}

test("a click turns it on, another one off, and of a camera that is off nothing is left", async () => {
  const mirror = new Mirror();
  const { toggle } = pieces(mirror);
  expect([mirror.track, mirror.element.dataset.live, toggle.textContent]).toEqual([
    null,
    "false",
    "Turn the camera on",
  ]);
  toggle.click();
  await vi.waitFor(() => expect(mirror.track).not.toBeNull());
  expect([mirror.element.dataset.live, toggle.textContent]).toEqual(["true", "Turn the camera off"]);
  const { stop } = mirror.track as unknown as FakeTrack;
  toggle.click();
  expect([mirror.track, mirror.element.dataset.live]).toEqual([null, "false"]);
  expect(stop).toHaveBeenCalledOnce();
});

test("where there are several cameras one chooses, and the choice is remembered", async () => {
  const mirror = new Mirror();
  const { toggle, select } = pieces(mirror);
  toggle.click();
  await vi.waitFor(() => expect(select.options).toHaveLength(3));
  const first = mirror.track as unknown as FakeTrack;
  select.value = "back";
  select.dispatchEvent(new Event("change"));
  await vi.waitFor(() => expect(first.stop).toHaveBeenCalled());
  expect(mirror.track).not.toBe(first);
  mirror.stop();
  toggle.click();
  await vi.waitFor(() => expect(asked()).toEqual([null, { ideal: "back" }, { ideal: "back" }]));
  const only = CAMERAS.slice(0, 1);
  devices = only;
  navigator.mediaDevices.dispatchEvent(new Event("devicechange"));
  await vi.waitFor(() => expect(select.closest<HTMLElement>(".field")?.hidden).toBe(true));
});

test("a camera that is refused, or that goes away, is said", async () => {
  const mirror = new Mirror();
  const { toggle, trouble } = pieces(mirror);
  getUserMedia.mockRejectedValueOnce(new DOMException("", "NotAllowedError"));
  toggle.click();
  await vi.waitFor(() => expect(trouble.textContent).toContain("refused"));
  toggle.click();
  await vi.waitFor(() => expect(mirror.track).not.toBeNull());
  expect(trouble.hidden).toBe(true);
  (mirror.track as unknown as FakeTrack).onended?.();
  expect([mirror.track, trouble.hidden, trouble.textContent?.includes("disconnected")]).toEqual([
    null,
    false,
    true,
  ]);
});

function roomWith(videoTrack: FakeTrack | null) {
  const room = {
    me: { role: "speaker", cameraMuted: false },
    state: "connected",
    videoTrack: videoTrack as unknown,
    setVideoTrack: async (now: unknown) => {
      room.videoTrack = now;
    },
  };
  return room;
}

test("a camera that was on before one entered ends as any other", async () => {
  const before = track();
  const room = roomWith(before);
  const handlers = { changed: vi.fn(), mute: vi.fn(async () => {}), ended: vi.fn() };
  new Camera(room as unknown as Room, handlers);
  before.onended?.();
  await vi.waitFor(() => expect(handlers.mute).toHaveBeenCalledWith(true));
  expect([room.videoTrack, handlers.ended.mock.calls.length]).toEqual([null, 1]);
  expect(before.stop).toHaveBeenCalled();
});

test("another camera takes the place of the one in use, which is closed then", async () => {
  const before = track();
  const room = roomWith(before);
  const camera = new Camera(room as unknown as Room, {
    changed: () => {},
    mute: async () => {},
    ended: () => {},
  });
  await camera.start("back");
  expect(room.videoTrack).not.toBe(before);
  expect(before.stop).toHaveBeenCalledOnce();
  expect(before.onended).toBeNull();
});
