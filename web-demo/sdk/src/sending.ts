// What one sends: a track of each origin comes in, and what was asked for and what the room holds decide whether it is
// open. A sound that is withheld is sent as silence, a picture not at all: nobody is to see it turn black.

import type { Participant, TrackOrigin } from "./api.js";
import { Muting } from "./muting.js";

export type Tracks = Record<TrackOrigin, MediaStreamTrack | null>;

export const ORIGINS: readonly TrackOrigin[] = ["microphone", "screen", "camera"];

export const NO_TRACKS: Readonly<Tracks> = { microphone: null, screen: null, camera: null };

/** Which property of a participant says that a track of theirs is withheld. */
export const MUTED = { microphone: "muted", screen: "screenMuted", camera: "cameraMuted" } as const;

export class Sending {
  readonly tracks: Tracks;
  readonly #cameraChanged: (sent: MediaStreamTrack | null) => void;
  #camera: MediaStreamTrack | null = null;
  readonly #me: Pick<Participant, (typeof MUTED)[TrackOrigin]>;
  readonly #muting = { microphone: new Muting(), screen: new Muting(), camera: new Muting() };

  /** `muted`: the microphone is closed from the start. `cameraChanged`: another picture is to be sent, or none. */
  constructor(
    me: Participant,
    tracks: Tracks,
    muted: boolean,
    cameraChanged: (sent: MediaStreamTrack | null) => void,
  ) {
    this.#me = me;
    this.#cameraChanged = cameraChanged;
    this.tracks = { ...tracks };
    if (muted) this.#muting.microphone.ask(true);
    this.#camera = this.#open();
  }

  /** Returns what is to be sent. It is closed before, so that not a packet of a muted participant's new microphone gets out. */
  set(origin: TrackOrigin, track: MediaStreamTrack | null): MediaStreamTrack | null {
    this.tracks[origin] = track;
    this.#camera = this.#open();
    return origin === "camera" ? this.#camera : track;
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
    const camera = this.#open();
    if (camera === this.#camera) return;
    this.#camera = camera;
    this.#cameraChanged(camera);
  }

  /** Enables what is open, and nothing else. Returns the picture to be sent. */
  #open(): MediaStreamTrack | null {
    for (const origin of ORIGINS) {
      const track = this.tracks[origin];
      if (track) track.enabled = this.#muting[origin].isOpen(this.#me[MUTED[origin]]);
    }
    const { camera } = this.tracks;
    return camera?.enabled ? camera : null;
  }
}
