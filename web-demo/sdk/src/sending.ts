// What one sends: a track of each origin comes in, and what was asked for and what the room holds decide whether it is
// open. Nothing here knows of connections: a track that is disabled is silent, or black, on whichever it is sent.

import type { Participant, TrackOrigin } from "./api.js";
import { Muting } from "./muting.js";

export type Tracks = Record<TrackOrigin, MediaStreamTrack | null>;

export const ORIGINS: readonly TrackOrigin[] = ["microphone", "screen", "camera"];

export const NO_TRACKS: Readonly<Tracks> = { microphone: null, screen: null, camera: null };

/** Which property of a participant says that a track of theirs is withheld. */
export const MUTED = { microphone: "muted", screen: "screenMuted", camera: "cameraMuted" } as const;

export class Sending {
  readonly tracks: Tracks;
  readonly #me: Pick<Participant, (typeof MUTED)[TrackOrigin]>;
  readonly #muting = { microphone: new Muting(), screen: new Muting(), camera: new Muting() };

  /** `muted`: the microphone is closed from the start. */
  constructor(me: Participant, tracks: Tracks, muted: boolean) {
    this.#me = me;
    this.tracks = { ...tracks };
    if (muted) this.#muting.microphone.ask(true);
    this.apply();
  }

  /** Before it is sent, so that not a packet of a muted participant's new microphone gets out. */
  set(origin: TrackOrigin, track: MediaStreamTrack | null): void {
    this.tracks[origin] = track;
    this.apply();
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
    for (const origin of ORIGINS) {
      const track = this.tracks[origin];
      if (track) track.enabled = this.#muting[origin].isOpen(this.#me[MUTED[origin]]);
    }
  }
}
