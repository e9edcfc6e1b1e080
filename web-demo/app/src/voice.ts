// One's own voice in the room: a microphone or the tone of the address. It is opened, exchanged and closed here; that
// it is sent is the room's doing.

import type { Address } from "./address.js";
import { openMicrophone, openTone } from "./microphone.js";
import { recall, remember } from "./preferences.js";

export class Voice {
  readonly #address: Pick<Address, "toneHz" | "gain">;
  /** Every track that is not released yet. */
  readonly #tracks = new Set<MediaStreamTrack>();
  /** Of openings, and of the times when everything was released: what was asked for before comes too late. */
  #generation = 0;
  track: MediaStreamTrack | null = null;
  /** The device was unplugged, or its permission taken back. */
  onEnded: () => void = () => {};

  constructor(address: Pick<Address, "toneHz" | "gain">) {
    this.#address = address;
  }

  /** Tests publish a tone as listeners too: a promotion is heard at once. */
  get isTone(): boolean {
    return this.#address.toneHz !== null;
  }

  /**
   * Rejects with a `DeviceError`. Resolves to `null` when the answer came too late: people take their time with
   * the browser's question, and may have left, lost the right to speak, or chosen another device meanwhile. The
   * former track is left for `release`, so that there is no gap.
   */
  async open(deviceId = recall("microphone")): Promise<MediaStreamTrack | null> {
    const { toneHz, gain } = this.#address;
    const generation = ++this.#generation;
    const track = toneHz === null ? await openMicrophone(deviceId) : await openTone(toneHz, gain);
    if (generation !== this.#generation) {
      track.stop();
      return null;
    }
    this.#tracks.add(track);
    track.onended = () => this.onEnded();
    if (toneHz === null) remember("microphone", deviceId);
    this.track = track;
    return track;
  }

  /** Ends a track that another one has replaced. */
  release(track: MediaStreamTrack | null): void {
    if (!track) return;
    track.onended = null;
    track.stop();
    this.#tracks.delete(track);
    if (track === this.track) this.track = null;
  }

  /** Ends every track, and any that is being asked for: the browser's mark of recording goes out. */
  releaseAll(): void {
    this.#generation++;
    for (const track of [...this.#tracks]) this.release(track);
  }
}
