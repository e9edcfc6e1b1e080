// One's own voice in the room: a microphone or the tone of the address. It is opened, exchanged and closed here; that
// it is sent is the room's doing.

import type { Address } from "./address.js";
import { openMicrophone, openTone } from "./microphone.js";
import { recall, remember } from "./preferences.js";

export class Voice {
  readonly #address: Pick<Address, "toneHz" | "gain">;
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

  /** Rejects with a `MicrophoneError`. The former track is left for `release`, so that there is no gap. */
  async open(deviceId = recall("microphone")): Promise<MediaStreamTrack> {
    const { toneHz, gain } = this.#address;
    const track = toneHz === null ? await openMicrophone(deviceId) : await openTone(toneHz, gain);
    track.onended = () => this.onEnded();
    if (toneHz === null) remember("microphone", deviceId);
    this.track = track;
    return track;
  }

  /** Ends a track: the browser's mark of recording goes out. */
  release(track = this.track): void {
    if (!track) return;
    track.onended = null;
    track.stop();
    if (track === this.track) this.track = null;
  }
}
