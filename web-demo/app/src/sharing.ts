// The sound of a screen, tab or application: the browser's picker comes in, a track of the room goes out. Of a stopped
// share nothing is left, so that the browser's mark of it goes out.

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
    "What you chose comes without sound. Choose a tab, or the whole screen, and let its audio be shared too.",
  failed: "The browser can't share this sound. Choose something else.",
};

export class Sharing {
  readonly #room: Room;
  readonly #changed: () => void;
  #picking = false;

  constructor(room: Room, changed: () => void) {
    this.#room = room;
    this.#changed = changed;
  }

  /** Rejects with a `SharingError`. Whoever dismisses the picker shares nothing. */
  async start(): Promise<void> {
    if (this.#picking) return;
    this.#picking = true;
    try {
      const track = await pickSound();
      if (track) await this.#share(track);
    } finally {
      this.#picking = false;
    }
  }

  async stop(): Promise<void> {
    const { sharedAudio } = this.#room;
    if (!sharedAudio) return;
    end(sharedAudio);
    await this.#room.shareAudio(null);
    this.#changed();
  }

  async #share(track: MediaStreamTrack): Promise<void> {
    const { me, state } = this.#room;
    // People take their time with the picker, and may have left or lost the right to speak meanwhile.
    if (state === "closed" || me.role === "listener") return end(track);
    track.onended = () => void this.stop();
    await this.#room.shareAudio(track);
    this.#changed();
    // What a moderator silenced was another share.
    if (me.screenMuted) await this.#room.muteScreen(false);
  }
}

/** `null` when the picker was dismissed. */
async function pickSound(): Promise<MediaStreamTrack | null> {
  // Music is not to be cleaned as speech is.
  const audio = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
  const stream = await navigator.mediaDevices.getDisplayMedia({ video: true, audio }).catch(refused);
  const [track] = stream?.getAudioTracks() ?? [];
  // Browsers give no sound without a picture, which nobody gets.
  for (const picture of stream?.getVideoTracks() ?? []) picture.stop();
  if (!stream) return null;
  if (!track) throw new SharingError("silent");
  track.contentHint = "music";
  return track;
}

function refused(error: unknown): null {
  if (error instanceof DOMException && error.name === "NotAllowedError") return null;
  throw new SharingError("failed");
}

function end(track: MediaStreamTrack): void {
  track.onended = null;
  track.stop();
}
