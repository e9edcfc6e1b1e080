// The video m-lines of a peer connection: one to send a camera's picture on, and one for each video slot, in its first offer or
// never. The receivers of the slots go out, and whose frames they have.

import type { VideoCodec } from "./api.js";
import { putFirst, sends } from "./codecs.js";
import { cameraIn, encodingsOfCamera } from "./encodings.js";
import { inOrder } from "./lines.js";
import { PictureLine } from "./picture.js";

/** Every browser has it. */
const USUAL_CODEC: VideoCodec = "vp8";

export class VideoLines {
  readonly #camera: PictureLine;
  #receiving: RTCRtpTransceiver[];

  constructor(
    connection: RTCPeerConnection,
    slotCount: number,
    camera: MediaStreamTrack | null,
    wanted: VideoCodec = USUAL_CODEC,
  ) {
    const codec = sends(`video/${wanted}`) ? wanted : USUAL_CODEC;
    this.#camera = new PictureLine(connection, cameraIn(codec), encodingsOfCamera(codec), camera, "balanced");
    putFirst(this.#camera.transceiver, `video/${codec}`);
    const receive = () => connection.addTransceiver("video", { direction: "recvonly" });
    this.#receiving = Array.from({ length: slotCount }, receive);
  }

  /** By the index of the slot. */
  get receivers(): RTCRtpReceiver[] {
    return this.#receiving.map(({ receiver }) => receiver);
  }

  /** The server's answer says which is which. */
  answered(slots: readonly { index: number; mid: string }[]): void {
    this.#receiving = inOrder(this.#receiving, slots);
    this.#camera.answered();
  }

  async setTrack(track: MediaStreamTrack | null): Promise<void> {
    await this.#camera.setTrack(track);
  }

  /** Of the camera's layers, smallest first. */
  setLayersWatched(layers: number): void {
    this.#camera.setLayersWatched(layers);
  }
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
