// An m-line to send a picture on, with a track or without one. Tracks come in, and how many layers of them are watched; the
// sender's encodings follow both. What a browser doesn't take is no reason to send nothing.

import { ALL_LAYERS, type Encoding, type Recipe } from "./encodings.js";

export class PictureLine {
  readonly transceiver: RTCRtpTransceiver;
  readonly #recipe: Recipe;
  readonly #degradationPreference: RTCDegradationPreference;
  #track: MediaStreamTrack | null;
  #layersWatched = ALL_LAYERS;
  #isAnswered = false;
  /** Parameters are read, changed and set one after the other: browsers refuse what was read before another change. */
  #limiting = Promise.resolve();

  /** How many encodings it has is decided here, once. */
  constructor(
    connection: RTCPeerConnection,
    recipe: Recipe,
    count: number,
    track: MediaStreamTrack | null,
    degradationPreference: RTCDegradationPreference,
  ) {
    this.#recipe = recipe;
    this.#track = track;
    this.#degradationPreference = degradationPreference;
    this.transceiver = this.#add(connection, count);
  }

  async setTrack(track: MediaStreamTrack | null): Promise<void> {
    await this.transceiver.sender.replaceTrack(track);
    this.#track = track;
    await this.#limit();
  }

  /** From the next frame on; the others needn't be sent. */
  setLayersWatched(layers: number): void {
    this.#layersWatched = layers;
    void this.#limit();
  }

  /** What it was offered with may have been cut down by the answer. */
  answered(): void {
    this.#isAnswered = true;
    void this.#limit();
  }

  #add(connection: RTCPeerConnection, count: number): RTCRtpTransceiver {
    const wished = this.#encodings(count);
    for (const sendEncodings of [wished, wished.map(withoutMode)]) {
      try {
        return this.#addWith(connection, sendEncodings);
      } catch (error) {
        console.warn("tercet: the picture can't be sent as wished", error);
      }
    }
    return this.#addWith(connection, this.#encodings(1).map(withoutMode));
  }

  #addWith(connection: RTCPeerConnection, sendEncodings: Encoding[]): RTCRtpTransceiver {
    return connection.addTransceiver(this.#track ?? "video", { direction: "sendonly", sendEncodings });
  }

  #limit(): Promise<void> {
    this.#limiting = this.#limiting.then(async () => {
      try {
        await this.#set((encoding) => encoding);
      } catch {
        const warn = (error: unknown) => console.warn("tercet: the picture is sent without limits", error);
        await this.#set(withoutMode).catch(warn);
      }
    });
    return this.#limiting;
  }

  async #set(allowed: (encoding: Encoding) => Encoding): Promise<void> {
    const { sender } = this.transceiver;
    const parameters = sender.getParameters();
    const wished = this.#encodings(parameters.encodings.length);
    const encodings = parameters.encodings.map((encoding, index) =>
      allowed({ ...encoding, ...wished[index] }),
    );
    await sender.setParameters({
      ...parameters,
      encodings,
      degradationPreference: this.#degradationPreference,
    });
  }

  #encodings(count: number): Encoding[] {
    const wished = this.#recipe(this.#track, count, this.#layersWatched);
    // Offered as resting, an encoding would be negotiated so.
    return this.#isAnswered ? wished : wished.map(({ active: _, ...encoding }) => encoding);
  }
}

function withoutMode({ scalabilityMode: _, ...encoding }: Encoding): Encoding {
  return encoding;
}
