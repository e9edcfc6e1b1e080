// A screen, tab or application, with its sound where it has some: the browser's picker comes in, tracks of the room go out. Of a
// stopped share nothing is left, so that the browser's mark of it goes out.

import { type Room, TercetError } from "@tercet/sdk";

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
      const picked = await pick();
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
    await this.#send({ video, audio });
    const { sharedVideo, sharedAudio } = this.#room;
    // The sound of a tab may end while its picture goes on.
    const lasting = sharedVideo ?? sharedAudio;
    if (lasting) lasting.onended = () => void this.stop();
    this.#changed();
    // What a moderator withheld was another share.
    if (sharedVideo && me.screenVideoMuted) await this.#room.muteScreenVideo(false);
    if (sharedAudio && me.screenMuted) await this.#room.muteScreen(false);
  }

  /** Where no pictures of screens are forwarded, the sound is shared alone. */
  async #send({ video, audio }: Shared): Promise<void> {
    try {
      await this.#room.shareScreen({ video, audio });
    } catch (error) {
      if (!(error instanceof TercetError && error.code === "no_video")) throw error;
      end(video);
      if (!audio) throw new SharingError("silent");
      await this.#room.shareScreen({ audio });
    }
  }
}

/** `null` when the picker was dismissed. */
async function pick(): Promise<Shared | null> {
  // Music is not to be cleaned as speech is.
  const audio = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
  const stream = await navigator.mediaDevices.getDisplayMedia({ video: true, audio }).catch(refused);
  if (!stream) return null;
  const [audioTrack = null] = stream.getAudioTracks();
  const [video = null] = stream.getVideoTracks();
  if (audioTrack) audioTrack.contentHint = "music";
  return { video, audio: audioTrack };
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
