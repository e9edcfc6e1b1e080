// The video m-lines of a peer connection: one to send a picture on and one for each video slot, in its first offer or never.
// A picture comes in and is limited to what a server forwards to many; the receivers of the slots go out, and whose frames
// they have.

import { inOrder } from "./lines.js";

/** One layer for all who watch: much more than this a phone neither takes nor shows. */
const BITRATE_BPS_MAX = 1_500_000;
const LONG_SIDE_MAX = 1280;
const SHORT_SIDE_MAX = 720;

export class VideoLines {
  readonly #sending: RTCRtpTransceiver;
  #receiving: RTCRtpTransceiver[];

  constructor(connection: RTCPeerConnection, slotCount: number, track: MediaStreamTrack | null) {
    this.#sending = connection.addTransceiver(track ?? "video", {
      direction: "sendonly",
      sendEncodings: [limits(track)],
    });
    void this.#limit(track);
    const receive = () => connection.addTransceiver("video", { direction: "recvonly" });
    this.#receiving = Array.from({ length: slotCount }, receive);
  }

  /** By the index of the slot. */
  get receivers(): RTCRtpReceiver[] {
    return this.#receiving.map(({ receiver }) => receiver);
  }

  /** The server's answer says which is which. */
  place(slots: readonly { index: number; mid: string }[]): void {
    this.#receiving = inOrder(this.#receiving, slots);
  }

  async setTrack(track: MediaStreamTrack | null): Promise<void> {
    await this.#sending.sender.replaceTrack(track);
    await this.#limit(track);
  }

  /** What a browser doesn't take is no reason to send nothing. */
  async #limit(track: MediaStreamTrack | null): Promise<void> {
    const { sender } = this.#sending;
    try {
      const parameters = sender.getParameters();
      const encodings = parameters.encodings.map((encoding) => ({ ...encoding, ...limits(track) }));
      await sender.setParameters({ ...parameters, encodings, degradationPreference: "balanced" });
    } catch (error) {
      console.warn("tercet: the picture is sent without limits", error);
    }
  }
}

/** Upright pictures are as large as lying ones. */
function limits(track: MediaStreamTrack | null): RTCRtpEncodingParameters {
  const { width = 0, height = 0 } = track?.getSettings() ?? {};
  const tooLarge = Math.max(
    Math.max(width, height) / LONG_SIDE_MAX,
    Math.min(width, height) / SHORT_SIDE_MAX,
  );
  return { maxBitrate: BITRATE_BPS_MAX, scaleResolutionDownBy: Math.max(1, tooLarge) };
}

/** Whether the latest frame is of a source: the CSRC of its packets. A browser that can't tell is believed. */
export function isOf(receiver: RTCRtpReceiver, source: number): boolean {
  if (!receiver.getContributingSources) return true;
  // Those of the last ten seconds, whoever's they were.
  const sources = receiver.getContributingSources();
  const latest = sources.reduce<RTCRtpContributingSource | null>(
    (latest, it) => (latest && latest.timestamp > it.timestamp ? latest : it),
    null,
  );
  return latest?.source === source;
}
