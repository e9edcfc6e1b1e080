// What one sends: a track of each origin comes in, and what was asked for and what the room holds decide whether it is
// open. A sound that is withheld is sent as silence, a picture not at all: nobody is to see it turn black.

import type { Participant, PictureOrigin, TrackOrigin } from "./api.js";
import { Muting } from "./muting.js";

export type Tracks = Record<TrackOrigin, MediaStreamTrack | null>;

export const PICTURES: readonly PictureOrigin[] = ["camera", "screen_video"];

export const ORIGINS: readonly TrackOrigin[] = ["microphone", "screen", ...PICTURES];

export const NO_TRACKS: Readonly<Tracks> = {
  microphone: null,
  screen: null,
  camera: null,
  screen_video: null,
};

/** Which property of a participant says that a track of theirs is withheld. */
export const MUTED = {
  microphone: "muted",
  screen: "screenMuted",
  camera: "cameraMuted",
  screen_video: "screenVideoMuted",
} as const;

export type Mutes = Pick<Participant, (typeof MUTED)[TrackOrigin]>;

export class Sending {
  readonly tracks: Tracks;
  readonly #pictureChanged: (origin: PictureOrigin, sent: MediaStreamTrack | null) => void;
  #sent: Record<PictureOrigin, MediaStreamTrack | null>;
  readonly #me: Mutes;
  readonly #muting = {
    microphone: new Muting(),
    screen: new Muting(),
    camera: new Muting(),
    screen_video: new Muting(),
  };

  /** `muted`: the microphone is closed from the start. `pictureChanged`: another picture is to be sent, or none. */
  constructor(
    me: Participant,
    tracks: Tracks,
    muted: boolean,
    pictureChanged: (origin: PictureOrigin, sent: MediaStreamTrack | null) => void,
  ) {
    this.#me = me;
    this.#pictureChanged = pictureChanged;
    this.tracks = { ...tracks };
    if (muted) this.#muting.microphone.ask(true);
    this.#sent = this.#open();
  }

  /** Returns what is to be sent. It is closed before, so that not a packet of a muted participant's new microphone gets out. */
  set(origin: TrackOrigin, track: MediaStreamTrack | null): MediaStreamTrack | null {
    this.tracks[origin] = track;
    this.#sent = this.#open();
    return origin === "camera" || origin === "screen_video" ? this.#sent[origin] : track;
  }

  /** Takes down a wish. */
  ask(origin: TrackOrigin, muted: boolean): number {
    const wish = this.#muting[origin].ask(muted);
    this.apply();
    return wish;
  }

  isLatest(origin: TrackOrigin, wish: number): boolean {
    return this.#muting[origin].isLatest(wish);
  }

  /** It was granted or refused. */
  settle(origin: TrackOrigin, wish: number): void {
    this.#muting[origin].settle(wish);
    this.apply();
  }

  /** Again, after a change of oneself in the room. */
  apply(): void {
    const before = this.#sent;
    this.#sent = this.#open();
    for (const origin of PICTURES) {
      if (this.#sent[origin] !== before[origin]) this.#pictureChanged(origin, this.#sent[origin]);
    }
  }

  /** Enables what is open, and nothing else. Returns the pictures to be sent. */
  #open(): Record<PictureOrigin, MediaStreamTrack | null> {
    for (const origin of ORIGINS) {
      const track = this.tracks[origin];
      if (track) track.enabled = this.#muting[origin].isOpen(this.#me[MUTED[origin]]);
    }
    const { camera, screen_video } = this.tracks;
    return {
      camera: camera?.enabled ? camera : null,
      screen_video: screen_video?.enabled ? screen_video : null,
    };
  }
}
