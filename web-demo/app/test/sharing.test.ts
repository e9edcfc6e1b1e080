// What becomes of a share while people think about it.

import { type Room, TercetError } from "@tercet/sdk";
import { afterEach, expect, test, vi } from "vitest";
import { Sharing } from "../src/sharing.js";

function track() {
  return { stop: vi.fn(), onended: null as (() => void) | null, contentHint: "" };
}

const SPEAKER = { role: "speaker", screenMuted: false, screenVideoMuted: false };

function roomOf(me = SPEAKER, hasVideo = true) {
  const room = {
    me,
    state: "connected",
    sharedAudio: null as unknown,
    sharedVideo: null as unknown,
    shareScreen: async ({ video = null, audio = null }: { video?: unknown; audio?: unknown }) => {
      if (video && !hasVideo) throw new TercetError("no_video", "");
      room.sharedVideo = video;
      room.sharedAudio = audio;
    },
    muteScreen: vi.fn(async () => {}),
    muteScreenVideo: vi.fn(async () => {}),
  };
  return room;
}

function sharingIn(room: ReturnType<typeof roomOf>, changed = vi.fn()): Sharing {
  return new Sharing(room as unknown as Room, changed);
}

/** The browser's picker, to be answered by the test. */
function picker() {
  let choose = (..._sounds: object[]) => track();
  let refuse = (_error: DOMException): void => {};
  const picked = new Promise<object>((resolve, reject) => {
    choose = (...sounds) => {
      const picture = track();
      resolve({ getAudioTracks: () => sounds, getVideoTracks: () => [picture] });
      return picture;
    };
    refuse = reject;
  });
  vi.stubGlobal("navigator", { mediaDevices: { getDisplayMedia: () => picked } });
  return { choose, refuse };
}

afterEach(() => vi.unstubAllGlobals());

test("picture and sound are shared, until the browser ends the picture", async () => {
  const [room, changed, sound] = [roomOf(), vi.fn(), track()];
  const { choose } = picker();
  const starting = sharingIn(room, changed).start();
  const picture = choose(sound);
  await starting;
  expect([room.sharedVideo, room.sharedAudio, sound.contentHint]).toEqual([picture, sound, "music"]);
  picture.onended?.();
  await vi.waitFor(() => expect(changed).toHaveBeenCalledTimes(2));
  expect([room.sharedVideo, room.sharedAudio]).toEqual([null, null]);
  expect(sound.stop).toHaveBeenCalled();
});

test("a choice without sound is shared in silence", async () => {
  const room = roomOf();
  const { choose } = picker();
  const starting = sharingIn(room).start();
  const picture = choose();
  await starting;
  expect([room.sharedVideo, room.sharedAudio]).toEqual([picture, null]);
});

test("in a room without pictures the sound is shared alone, and a choice without it is said", async () => {
  const [room, sound] = [roomOf(SPEAKER, false), track()];
  const loud = picker();
  const starting = sharingIn(room).start();
  const picture = loud.choose(sound);
  await starting;
  expect([room.sharedVideo, room.sharedAudio]).toEqual([null, sound]);
  expect(picture.stop).toHaveBeenCalled();
  const silent = picker();
  const another = sharingIn(roomOf(SPEAKER, false)).start();
  silent.choose();
  await expect(another).rejects.toMatchObject({ trouble: "silent" });
});

test("a dismissed picker is nothing to be said", async () => {
  const dismissed = picker();
  const starting = sharingIn(roomOf()).start();
  dismissed.refuse(new DOMException("", "NotAllowedError"));
  await expect(starting).resolves.toBeUndefined();
});

test("a choice that comes after a demotion, or after leaving, is ended", async () => {
  for (const change of [{ me: { ...SPEAKER, role: "listener" } }, { state: "closed" }]) {
    const [room, sound] = [roomOf(), track()];
    const { choose } = picker();
    const starting = sharingIn(room).start();
    Object.assign(room, change);
    const picture = choose(sound);
    await starting;
    expect([room.sharedVideo, room.sharedAudio]).toEqual([null, null]);
    expect(sound.stop).toHaveBeenCalled();
    expect(picture.stop).toHaveBeenCalled();
  }
});

test("a new share is seen and heard after a moderator withheld another", async () => {
  const room = roomOf({ role: "speaker", screenMuted: true, screenVideoMuted: true });
  const { choose } = picker();
  const starting = sharingIn(room).start();
  choose(track());
  await starting;
  expect(room.muteScreen).toHaveBeenCalledWith(false);
  expect(room.muteScreenVideo).toHaveBeenCalledWith(false);
});
