// The video m-lines of a peer connection: one to send a camera's picture on, one for a screen's, and one for each video slot, in
// its first offer or never. The receivers of the slots go out, and whose frames they have.

import type { PictureOrigin, VideoCodec } from "./api.js";
import { putFirst, sends } from "./codecs.js";
import { cameraIn, encodingsOfCamera, ofScreen } from "./encodings.js";
import { inOrder } from "./lines.js";
import { PictureLine } from "./picture.js";
import { PICTURES, type Tracks } from "./sending.js";

/** Every browser has it. */
const USUAL_CODEC: VideoCodec = "vp8";

export class VideoLines {
  readonly #lines: Record<PictureOrigin, PictureLine>;
  #receiving: RTCRtpTransceiver[];

  constructor(
    connection: RTCPeerConnection,
    slotCount: number,
    tracks: Readonly<Tracks>,
    wanted: VideoCodec = USUAL_CODEC,
  ) {
    const codec = sends(`video/${wanted}`) ? wanted : USUAL_CODEC;
    const cameras = encodingsOfCamera(codec);
    // The server knows them by their order.
    this.#lines = {
      camera: new PictureLine(connection, cameraIn(codec), cameras, tracks.camera, "balanced"),
      screen_video: new PictureLine(connection, ofScreen, 1, tracks.screen_video, "maintain-resolution"),
    };
    for (const { transceiver } of Object.values(this.#lines)) putFirst(transceiver, `video/${codec}`);
    const receive = () => connection.addTransceiver("video", { direction: "recvonly" });
    this.#receiving = Array.from({ length: slotCount }, receive);
  }

  /** By the index of the slot. */
  get receivers(): RTCRtpReceiver[] {
    return this.#receiving.map(({ receiver }) => receiver);
  }

  /** By the mids of their lines, those that are sent. */
  get sent(): ReadonlyMap<string, PictureOrigin> {
    const sent = new Map<string, PictureOrigin>();
    for (const origin of PICTURES) {
      const { mid, sender } = this.#lines[origin].transceiver;
      if (mid !== null && sender.track) sent.set(mid, origin);
    }
    return sent;
  }

  /** The server's answer says which is which. */
  answered(slots: readonly { index: number; mid: string }[]): void {
    this.#receiving = inOrder(this.#receiving, slots);
    for (const line of Object.values(this.#lines)) line.answered();
  }

  async setTrack(origin: PictureOrigin, track: MediaStreamTrack | null): Promise<void> {
    await this.#lines[origin].setTrack(track);
  }

  /** Of its layers, smallest first. */
  setLayersWatched(origin: PictureOrigin, layers: number): void {
    this.#lines[origin].setLayersWatched(layers);
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
