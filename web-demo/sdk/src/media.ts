// The media of a session, which outlives its peer connections. Answers come from the function `offer` that the room
// gives; health, tracks and frames go to its handlers.
//
// What never connected within 10 s is reported as `media_unreachable` before it is repaired.
//
//   connecting ──▶ connected ──▶ disconnected for 2 s, or failed
//                     ▲                     │
//                     │   in 5 s            ▼
//                     ├──────────── restart of ICE
//                     │                     │ no, or `no_connection`
//                     │   in 10 s           ▼
//                     └──────────── new peer connection ◀──┐ no: wait, again
//                                           └──────────────┘

import { type PictureOrigin, TercetError, type TrackOrigin } from "./api.js";
import { backoffMs, Pause } from "./backoff.js";
import { Outbox } from "./outbox.js";
import { Peer, type PeerHandlers, type PeerOptions, type ReceivedTracks } from "./peer.js";
import { ORIGINS, type Tracks } from "./sending.js";
import type { Answer } from "./wire.js";

const GRACE_MS = 2_000;
const RESTART_MS = 5_000;
const CONNECT_MS = 10_000;
/** A connection that somebody else closes says so by no event. */
const WATCH_MS = 1_000;

export interface MediaHandlers {
  offer(sdp: string, fresh: boolean): Promise<Answer>;
  healthChanged(healthy: boolean): void;
  tracksReplaced(tracks: ReceivedTracks): void;
  frame(text: string, reliable: boolean): void;
  failed(error: TercetError): void;
}

export class Media {
  readonly #options: PeerOptions & { tracks: Tracks };
  readonly #handlers: MediaHandlers;
  readonly #pause = new Pause();
  #outbox = new Outbox();
  readonly #watch: ReturnType<typeof setInterval>;
  #peer: Peer;
  #grace: ReturnType<typeof setTimeout> | undefined;
  #repairing = false;
  /** Whether media ever got through. */
  #stood = false;
  /** Once an outage is enough. */
  #saidUnreachable = false;
  #closed = false;

  constructor(options: PeerOptions, handlers: MediaHandlers) {
    this.#options = { ...options, tracks: { ...options.tracks } };
    this.#handlers = handlers;
    this.#peer = this.#newPeer();
    this.#watch = setInterval(() => {
      if (this.#peer.state === "closed") void this.#repair();
    }, WATCH_MS);
  }

  get peer(): Peer {
    return this.#peer;
  }

  /** Relays for what is connected from now on: the credentials of the former ones end some day. */
  set iceServers(servers: RTCIceServer[]) {
    this.#options.iceServers = servers;
    if (servers.length > 0) this.#peer.setIceServers(servers);
  }

  /** The first offer. Resolves when it is answered; the connection stands some round trips later. */
  async start(): Promise<void> {
    let fresh = false;
    while (!(await this.#answered(fresh))) {
      // Whether the server took the offer is unknown: a new connection's is right in both cases.
      fresh = true;
      this.#replacePeer();
    }
    this.#startGrace(CONNECT_MS);
  }

  /** As `start`, of a session in place of one whose media is lost: tracks and health are told as after any repair. */
  restore(): void {
    void this.#repair(true);
  }

  /**
   * From here on this one sends, and the media of another session doesn't: tracks, and messages that it didn't get rid of.
   * Tracks that both sent would be heard twice.
   */
  takeOver(former: Media): void {
    // A connection that was closed from outside refuses, and what a browser doesn't take was told to whoever set it.
    const refused = () => {};
    for (const origin of ORIGINS) {
      this.setTrack(origin, former.#options.tracks[origin]).catch(refused);
      former.#peer.setTrack(origin, null).catch(refused);
    }
    former.#outbox.takeBack(former.#peer);
    this.#outbox = former.#outbox;
    former.#outbox = new Outbox();
    this.#outbox.flush(this.#peer);
  }

  async setTrack(origin: TrackOrigin, track: MediaStreamTrack | null): Promise<void> {
    this.#options.tracks[origin] = track;
    const peer = this.#peer;
    const set = peer.setTrack(origin, track).catch((error: unknown) => {
      // A connection that is over refuses, and the one in its place has the track from the start.
      if (peer === this.#peer && peer.state !== "closed") throw error;
    });
    await Promise.race([set, peer.closed]);
  }

  /** Of the picture as it is sent now: over another peer connection all of it is sent, until this is said again. */
  setLayersWatched(origin: PictureOrigin, layers: number): void {
    this.#peer.setLayersWatched(origin, layers);
  }

  send(frame: string, reliable: boolean): boolean {
    if (!reliable) return this.#peer.sendLossy(frame);
    this.#outbox.post(frame, this.#peer);
    return true;
  }

  /** The network may be back: what waits for a time to pass needn't. */
  nudge(): void {
    this.#pause.cut();
    // `closed` is nobody's doing here, but what it takes to be heard again is the same.
    if (["disconnected", "failed", "closed"].includes(this.#peer.state)) void this.#repair();
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#grace);
    clearInterval(this.#watch);
    this.#pause.cut();
    this.#peer.close();
  }

  #newPeer(): Peer {
    const handlers: PeerHandlers = {
      stateChanged: (peer) => this.#look(peer),
      writable: (peer) => this.#outbox.flush(peer),
      frame: (text, reliable) => this.#handlers.frame(text, reliable),
    };
    return new Peer(this.#options, handlers);
  }

  #look(peer: Peer): void {
    if (peer !== this.#peer || this.#repairing) return;
    if (peer.state === "connected") this.#stands();
    else if (peer.state === "disconnected") this.#startGrace(GRACE_MS);
    else if (peer.state === "failed") void this.#repair();
  }

  #stands(): void {
    clearTimeout(this.#grace);
    this.#stood = true;
    this.#saidUnreachable = false;
  }

  #startGrace(ms: number): void {
    clearTimeout(this.#grace);
    this.#grace = setTimeout(() => {
      if (this.#peer.state !== "connected") void this.#repair();
    }, ms);
  }

  async #repair(isNew = false): Promise<void> {
    if (this.#repairing || this.#closed) return;
    this.#repairing = true;
    clearTimeout(this.#grace);
    this.#handlers.healthChanged(false);
    let fresh = isNew || this.#peer.state === "closed";
    // What never connected is not worth another 15 s of hope before a word is said.
    if (!this.#stood && !fresh) this.#reportUnreachable();
    for (let attempt = 0; !this.#closed; attempt++) {
      const outcome = await this.#attempt(fresh);
      if (outcome === "connected") break;
      // Without signalling nothing was tried yet, and the next attempt begins with a wait for it.
      if (outcome !== "unasked") fresh = true;
      if (attempt > 0 && !this.#closed) await this.#pause.wait(backoffMs(attempt - 1));
    }
    this.#repairing = false;
    if (this.#closed) return;
    this.#stands();
    this.#handlers.healthChanged(true);
    this.#look(this.#peer);
  }

  async #attempt(fresh: boolean): Promise<"connected" | "failed" | "unasked"> {
    try {
      if (fresh && this.#isUsed()) this.#replacePeer();
      await this.#negotiate({ iceRestart: !fresh, fresh });
      if (await this.#peer.connects(fresh ? CONNECT_MS : RESTART_MS)) return "connected";
      if (fresh) this.#reportUnreachable();
    } catch (error) {
      const code = error instanceof TercetError ? error.code : undefined;
      if (code === "connection_lost") return "unasked";
      if (code !== "no_connection") this.#report(error);
    }
    return "failed";
  }

  /** Whether the first offer was answered, or signalling broke before. */
  async #answered(fresh: boolean): Promise<boolean> {
    try {
      await this.#negotiate({ iceRestart: false, fresh });
      return true;
    } catch (error) {
      if (!this.#closed && error instanceof TercetError && error.code === "connection_lost") return false;
      throw error;
    }
  }

  #isUsed(): boolean {
    return this.#peer.isOffered || this.#peer.state === "closed";
  }

  #replacePeer(): void {
    this.#outbox.takeBack(this.#peer);
    this.#peer.close();
    this.#peer = this.#newPeer();
  }

  async #negotiate({ iceRestart, fresh }: { iceRestart: boolean; fresh: boolean }): Promise<void> {
    const peer = this.#peer;
    const answer = await this.#handlers.offer(await peer.offer(iceRestart), fresh);
    if (this.#closed) return;
    await peer.accept(answer);
    if (fresh) this.#handlers.tracksReplaced(peer.tracks);
  }

  #reportUnreachable(): void {
    if (this.#saidUnreachable) return;
    this.#saidUnreachable = true;
    this.#report(new TercetError("media_unreachable", "the server's media port can't be reached"));
  }

  #report(error: unknown): void {
    if (this.#closed) return;
    const known = error instanceof TercetError;
    this.#handlers.failed(known ? error : new TercetError("media_failed", String(error), { cause: error }));
  }
}
