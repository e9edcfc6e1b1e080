// What becomes of a share while people think about it.

import type { Room } from "@tercet/sdk";
import { afterEach, expect, test, vi } from "vitest";
import { Sharing } from "../src/sharing.js";

function track() {
  return { stop: vi.fn(), onended: null as (() => void) | null, contentHint: "" };
}

function roomOf(me = { role: "speaker", screenMuted: false }) {
  const room = {
    me,
    state: "connected",
    sharedAudio: null as unknown,
    shareAudio: async (shared: unknown) => {
      room.sharedAudio = shared;
    },
    muteScreen: vi.fn(async () => {}),
  };
  return room;
}

function sharingIn(room: ReturnType<typeof roomOf>, changed = vi.fn()): Sharing {
  return new Sharing(room as unknown as Room, changed);
}

/** The browser's picker, to be answered by the test. */
function picker() {
  let choose = (..._sounds: object[]): object => ({});
  let refuse = (_error: DOMException): void => {};
  const picked = new Promise<object>((resolve, reject) => {
    choose = (...sounds) => {
      const picture = track();
      resolve({ getAudioTracks: () => sounds, getVideoTracks: () => [picture] });
      return picture.stop;
    };
    refuse = reject;
  });
  vi.stubGlobal("navigator", { mediaDevices: { getDisplayMedia: () => picked } });
  return { choose, refuse };
}

afterEach(() => vi.unstubAllGlobals());

test("the sound is shared without the picture, until the browser ends it", async () => {
  const [room, changed, sound] = [roomOf(), vi.fn(), track()];
  const { choose } = picker();
  const starting = sharingIn(room, changed).start();
  const pictureEnds = choose(sound);
  await starting;
  expect(room.sharedAudio).toBe(sound);
  expect(pictureEnds).toHaveBeenCalled();
  sound.onended?.();
  await vi.waitFor(() => expect(changed).toHaveBeenCalledTimes(2));
  expect(room.sharedAudio).toBeNull();
});

test("a choice without sound is said, a dismissed picker is not", async () => {
  const silent = picker();
  const starting = sharingIn(roomOf()).start();
  silent.choose();
  await expect(starting).rejects.toMatchObject({ trouble: "silent" });
  const dismissed = picker();
  const another = sharingIn(roomOf()).start();
  dismissed.refuse(new DOMException("", "NotAllowedError"));
  await expect(another).resolves.toBeUndefined();
});

test("a choice that comes after a demotion, or after leaving, is ended", async () => {
  for (const change of [{ me: { role: "listener", screenMuted: false } }, { state: "closed" }]) {
    const [room, sound] = [roomOf(), track()];
    const { choose } = picker();
    const starting = sharingIn(room).start();
    Object.assign(room, change);
    choose(sound);
    await starting;
    expect(room.sharedAudio).toBeNull();
    expect(sound.stop).toHaveBeenCalled();
  }
});

test("a new share is heard after a moderator silenced another", async () => {
  const room = roomOf({ role: "speaker", screenMuted: true });
  const { choose } = picker();
  const starting = sharingIn(room).start();
  choose(track());
  await starting;
  expect(room.muteScreen).toHaveBeenCalledWith(false);
});
