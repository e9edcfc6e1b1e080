// One peer connection: an m-line to send, one to receive per slot, one of each for the sound of screens, those of video
// if it is wanted, two data channels. Offers come out, the server's answers go in. It doesn't repair itself: `media.ts`
// restarts or replaces it.
//
// The sending m-lines are there with or without a track, so that muting, another microphone, a camera, a promotion and
// sharing need no renegotiation.

import type { ConnectOptions, PictureOrigin, TrackOrigin } from "./api.js";
import { putFirst } from "./codecs.js";
import { Deferred } from "./deferred.js";
import { inOrder } from "./lines.js";
import type { Outlet } from "./outbox.js";
import { withDtx } from "./sdp.js";
import type { Tracks } from "./sending.js";
import { StatsMeter } from "./stats.js";
import { VideoLines } from "./video.js";
import type { Answer } from "./wire.js";

export type PeerOptions = Pick<ConnectOptions, "red" | "dtx" | "videoCodec" | "iceTransportPolicy"> & {
  iceServers?: RTCIceServer[];
  slotCount: number;
  /** 0 without video: then none is sent either. */
  videoSlotCount: number;
  tracks: Readonly<Tracks>;
};

/** What a peer connection receives. */
export interface ReceivedTracks {
  /** By the index of the slot. */
  slots: MediaStreamTrack[];
  screen: MediaStreamTrack;
  /** By the index of the video slot. */
  video: RTCRtpReceiver[];
}

export interface PeerHandlers {
  stateChanged(peer: Peer): void;
  /** Reliable messages may be taken again. */
  writable(peer: Peer): void;
  frame(text: string, reliable: boolean): void;
}

/** Beyond this many bytes not yet sent, an unreliable message would only come late. */
const LOSSY_BYTES_MAX = 64 * 1024;
/** Beyond this many bytes not yet sent, reliable messages wait outside: browsers throw when their buffer is full. */
const RELIABLE_BYTES_MAX = 1024 * 1024;

export class Peer implements Outlet {
  readonly connection: RTCPeerConnection;
  readonly meter = new StatsMeter();
  readonly #dtx: boolean;
  readonly #sending: RTCRtpTransceiver;
  readonly #sharing: RTCRtpTransceiver;
  #receiving: RTCRtpTransceiver[];
  readonly #screen: RTCRtpTransceiver;
  readonly #video: VideoLines | null;
  readonly #reliable: RTCDataChannel;
  readonly #lossy: RTCDataChannel;
  #isOffered = false;
  readonly #closed = new Deferred<void>();

  constructor(options: PeerOptions, handlers: PeerHandlers) {
    const {
      slotCount,
      videoSlotCount,
      tracks,
      red,
      dtx,
      videoCodec,
      iceServers = [],
      iceTransportPolicy,
    } = options;
    this.connection = new RTCPeerConnection({
      bundlePolicy: "max-bundle",
      iceServers,
      ...(iceTransportPolicy && { iceTransportPolicy }),
    });
    this.#dtx = dtx ?? false;
    // The server knows them by their order: the microphone before the screen, the slots before the screen's.
    const send = (track: MediaStreamTrack | null) =>
      this.connection.addTransceiver(track ?? "audio", { direction: "sendonly" });
    const receive = () => this.connection.addTransceiver("audio", { direction: "recvonly" });
    this.#sending = send(tracks.microphone);
    this.#receiving = Array.from({ length: slotCount }, receive);
    this.#sharing = send(tracks.screen);
    this.#screen = receive();
    const withVideo = videoSlotCount > 0;
    this.#video = withVideo ? new VideoLines(this.connection, videoSlotCount, tracks, videoCodec) : null;
    if (red) for (const sending of [this.#sending, this.#sharing]) putFirst(sending, "audio/red");
    this.#reliable = this.connection.createDataChannel("reliable");
    this.#lossy = this.connection.createDataChannel("lossy", { ordered: false, maxRetransmits: 0 });
    this.#reliable.bufferedAmountLowThreshold = RELIABLE_BYTES_MAX / 2;
    this.#reliable.onopen = this.#reliable.onbufferedamountlow = () => handlers.writable(this);
    this.#reliable.onmessage = ({ data }) => handlers.frame(data, true);
    this.#lossy.onmessage = ({ data }) => handlers.frame(data, false);
    this.connection.onconnectionstatechange = () => {
      handlers.stateChanged(this);
      if (this.state === "connected") handlers.writable(this);
    };
  }

  /** From its next restart on. */
  setIceServers(iceServers: RTCIceServer[]): void {
    if (this.state === "closed") return;
    this.connection.setConfiguration({ ...this.connection.getConfiguration(), iceServers });
  }

  get state(): RTCPeerConnectionState {
    return this.connection.connectionState;
  }

  /** An offer of it was made, and may have been taken. */
  get isOffered(): boolean {
    return this.#isOffered;
  }

  get tracks(): ReceivedTracks {
    return {
      slots: this.#receiving.map(({ receiver }) => receiver.track),
      screen: this.#screen.receiver.track,
      video: this.#video?.receivers ?? [],
    };
  }

  /** By the mids of their lines. */
  get sentPictures(): ReadonlyMap<string, PictureOrigin> {
    return this.#video?.sent ?? new Map();
  }

  /** Resolves when it is closed: the browser may never answer what it was asked before. */
  get closed(): Promise<void> {
    return this.#closed.promise;
  }

  /** The candidates aren't waited for: the server, ICE-lite, learns them from the checks (RFC 8445, 7.3.1.3). */
  async offer(iceRestart: boolean): Promise<string> {
    this.#isOffered = true;
    const offer = await this.connection.createOffer({ iceRestart });
    await this.connection.setLocalDescription(offer);
    return this.connection.localDescription?.sdp ?? offer.sdp ?? "";
  }

  async accept({ sdp, slots, video = [] }: Answer): Promise<void> {
    await this.connection.setRemoteDescription({ type: "answer", sdp: this.#dtx ? withDtx(sdp) : sdp });
    this.#receiving = inOrder(this.#receiving, slots);
    this.#video?.answered(video);
  }

  async setTrack(origin: TrackOrigin, track: MediaStreamTrack | null): Promise<void> {
    if (origin === "camera" || origin === "screen_video") await this.#video?.setTrack(origin, track);
    else await (origin === "screen" ? this.#sharing : this.#sending).sender.replaceTrack(track);
  }

  /** How many layers of a picture are watched, smallest first. */
  setLayersWatched(origin: PictureOrigin, layers: number): void {
    this.#video?.setLayersWatched(origin, layers);
  }

  get unsentBytes(): number {
    return this.#reliable.bufferedAmount;
  }

  take(message: string): boolean {
    return this.#send(this.#reliable, message, RELIABLE_BYTES_MAX);
  }

  /** Whether the message was handed to the network. */
  sendLossy(message: string): boolean {
    return this.#send(this.#lossy, message, LOSSY_BYTES_MAX);
  }

  /** Whether the connection stands before the time is over. */
  connects(withinMs: number): Promise<boolean> {
    return new Promise((resolve) => {
      const settle = (connected: boolean) => {
        clearTimeout(late);
        this.connection.removeEventListener("connectionstatechange", look);
        resolve(connected);
      };
      const look = () => {
        if (this.state === "connected") settle(true);
        else if (this.state === "failed" || this.state === "closed") settle(false);
      };
      const late = setTimeout(() => settle(false), withinMs);
      this.connection.addEventListener("connectionstatechange", look);
      // A restart takes a failed connection out of its state only later: that one may be waited for.
      if (this.state === "connected") settle(true);
    });
  }

  close(): void {
    this.connection.onconnectionstatechange = null;
    this.#reliable.onopen = this.#reliable.onbufferedamountlow = null;
    this.#reliable.onmessage = this.#lossy.onmessage = null;
    this.connection.close();
    this.#closed.resolve();
    // The browser doesn't say so itself, and somebody may wait for it to connect.
    this.connection.dispatchEvent(new Event("connectionstatechange"));
  }

  /** A channel stays open for as long as its connection may come back, and what it is given meanwhile may be lost. */
  #send(channel: RTCDataChannel, message: string, unsentBytesMax: number): boolean {
    if (this.state !== "connected" || channel.readyState !== "open") return false;
    if (channel.bufferedAmount > unsentBytesMax) return false;
    channel.send(message);
    return true;
  }
}
