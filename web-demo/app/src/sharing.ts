// A screen, tab or application, with its sound where it has some: the browser's picker comes in, tracks of the room go out. Of a
// stopped share nothing is left, so that the browser's mark of it goes out.

import type { Room } from "@tercet/sdk";

export const canShare = () => "getDisplayMedia" in (navigator.mediaDevices ?? {});

export type ShareTrouble = "silent" | "failed";

export class SharingError extends Error {
  constructor(readonly trouble: ShareTrouble) {
    super(SENTENCES[trouble]);
  }
}

const SENTENCES: Record<ShareTrouble, string> = {
  silent:
    "What you chose comes without sound, and there are no pictures in this room. Choose a tab, or the whole screen, and let its audio be shared too.",
  failed: "The browser can't share this. Choose something else.",
};

interface Shared {
  video: MediaStreamTrack | null;
  audio: MediaStreamTrack | null;
}

export class Sharing {
  readonly #room: Room;
  readonly #changed: () => void;
  #picking = false;

  constructor(room: Room, changed: () => void) {
    this.#room = room;
    this.#changed = changed;
  }

  get isOn(): boolean {
    return this.#room.sharedVideo !== null || this.#room.sharedAudio !== null;
  }

  /** Rejects with a `SharingError`. Whoever dismisses the picker shares nothing. */
  async start(): Promise<void> {
    if (this.#picking) return;
    this.#picking = true;
    try {
      const picked = await pick(this.#room.videoSlots.length > 0);
      if (picked) await this.#share(picked);
    } finally {
      this.#picking = false;
    }
  }

  async stop(): Promise<void> {
    if (!this.isOn) return;
    const { sharedVideo, sharedAudio } = this.#room;
    end(sharedVideo);
    end(sharedAudio);
    await this.#room.shareScreen({});
    this.#changed();
  }

  async #share({ video, audio }: Shared): Promise<void> {
    const { me, state } = this.#room;
    // People take their time with the picker, and may have left or lost the right to speak meanwhile.
    if (state === "closed" || me.role === "listener") {
      end(video);
      end(audio);
      return;
    }
    // The sound of a tab may end while its picture goes on.
    if (video) video.onended = () => void this.stop();
    else if (audio) audio.onended = () => void this.stop();
    await this.#room.shareScreen({ video, audio });
    this.#changed();
    // What a moderator withheld was another share.
    if (video && me.screenVideoMuted) await this.#room.muteScreenVideo(false);
    if (audio && me.screenMuted) await this.#room.muteScreen(false);
  }
}

/** `null` when the picker was dismissed. */
async function pick(withPicture: boolean): Promise<Shared | null> {
  // Music is not to be cleaned as speech is.
  const audio = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
  const stream = await navigator.mediaDevices.getDisplayMedia({ video: true, audio }).catch(refused);
  if (!stream) return null;
  const [sound = null] = stream.getAudioTracks();
  const [picture = null] = stream.getVideoTracks();
  if (sound) sound.contentHint = "music";
  if (withPicture) return { video: picture, audio: sound };
  // Browsers give no sound without a picture, which nobody gets.
  picture?.stop();
  if (!sound) throw new SharingError("silent");
  return { video: null, audio: sound };
}

function refused(error: unknown): null {
  if (error instanceof DOMException && error.name === "NotAllowedError") return null;
  throw new SharingError("failed");
}

function end(track: MediaStreamTrack | null): void {
  if (!track) return;
  track.onended = null;
  track.stop();
}
