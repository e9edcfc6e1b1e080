// The session that a room has now, and how it comes to the next one. What a session tells goes on to the room; when it
// breaks, or its node stops, this decides.
//
//              WebSocket breaks               node isn't reached, or has no such session
//   present ───────────────────▶ resuming ──────────────────────▶ joining anew, on any node ──▶ present
//      │                            └──────────▶ present             (media is new)
//      │ the node stops, and names others
//      ▼
//    moving: a second session on one of them ──▶ it has media ──▶ it is the room's, the first is left ──▶ present
//      └──────▶ no node takes it ──▶ the first goes on until its node ends it ──▶ joining anew

import type { CloseReason, TercetError } from "./api.js";
import { Backoff, Pause } from "./backoff.js";
import { codeOf, type Entered, type Entrance } from "./entrance.js";
import type { PeerOptions, ReceivedTracks } from "./peer.js";
import { NO_TRACKS } from "./sending.js";
import { Session, type SessionEvent } from "./session.js";
import { socketUrl } from "./signalling.js";
import type { RoomChange, WireError } from "./wire.js";

const OPEN_MS = 10_000;
/** A node that doesn't answer within this is tried no longer at first: others may. Each round is twice as patient. */
const RESUME_MS = 1_500;
/** Over this the clients of a node that died come to the others. */
const SPREAD_MS = 500;
/** Over this, at most, those of a node that stops. */
const MOVE_WITHIN_MS = 2_000;
const MOVE_JOIN_MS = 3_000;
const MOVE_MEDIA_MS = 5_000;
/** Both sessions have media for so long: the jitter buffers of the new one fill while the old one is heard. */
const OVERLAP_MS = 300;

export interface PresenceHandlers {
  /** A further session was welcomed, and may be the room's soon: what it has yet to be told. */
  carryOver(session: Session): void;
  /** The session was taken up again, or is another: everything may have changed, the tracks too where they are given. */
  reloaded(session: Session, tracks?: ReceivedTracks): void;
  event(event: RoomChange | WireError): void;
  /** The node stops, and no other takes the session. */
  closing(deadlineMs: number): void;
  /** Signalling broke. */
  lost(): void;
  tracksReplaced(tracks: ReceivedTracks): void;
  frame(text: string, reliable: boolean): void;
  failed(error: TercetError): void;
  /** Signalling or media broke, or works again. */
  changed(): void;
  ended(reason: CloseReason, cause?: TercetError): void;
}

export class Presence {
  readonly #entrance: Entrance;
  readonly #handlers: PresenceHandlers;
  readonly #options: PeerOptions;
  readonly #backoff = new Backoff();
  readonly #pause = new Pause();
  #session: Session;
  /** The one that the room moves to. */
  #next: Session | null = null;
  #moving = false;
  /** A join was said on another node: whom it replaces is oneself. */
  #joiningAgain = false;
  /** Media was answered once. */
  #begun = false;
  #closed = false;
  /** When a reconnect has no purpose any more. */
  #giveUpAt = 0;

  /** The options are those of each session; their tracks are the first one's, and handed on. */
  constructor(entrance: Entrance, entered: Entered, options: PeerOptions, handlers: PresenceHandlers) {
    this.#entrance = entrance;
    this.#handlers = handlers;
    this.#options = { ...options, tracks: NO_TRACKS };
    this.#session = this.#newSession(entered, options);
    this.#backoff.opened();
  }

  get session(): Session {
    return this.#session;
  }

  /** The first offer. Resolves when it is answered. */
  async start(): Promise<ReceivedTracks> {
    const { media } = this.#session;
    await media.start();
    this.#begun = true;
    return media.peer.tracks;
  }

  /** The network may be back. */
  wake(): void {
    this.#pause.cut();
    this.#session.signalling?.probe();
    this.#session.media.nudge();
  }

  /**
   * Without a WebSocket the server can't be told yet: the session is resumed in the background until it is, or until the
   * server has given it up by itself.
   */
  close(): void {
    this.#closed = true;
    if (!this.#session.signalling)
      this.#giveUpAt = Math.min(this.#giveUpAt, performance.now() + this.#session.welcome.session.resume_ms);
    this.#session.close();
    this.#next?.leave();
    this.#pause.cut();
  }

  #newSession(entered: Entered, options = this.#options): Session {
    const ofRoom = (session: Session) => session === this.#session && !this.#closed;
    return new Session(entered, options, {
      event: (session, event) => {
        if (this.#closed) return;
        if (session === this.#session) this.#event(event);
        else if (session === this.#next) this.#eventOfNext(session, event);
      },
      lost: (session) => {
        if (session === this.#session) this.#lost();
        else if (session === this.#next) session.close();
      },
      healthChanged: (session) => {
        if (!ofRoom(session)) return;
        // A node that is gone without a word is silent to a ping too.
        if (!session.healthy) session.signalling?.probe();
        this.#handlers.changed();
      },
      tracksReplaced: (session, tracks) => {
        if (ofRoom(session)) this.#handlers.tracksReplaced(tracks);
      },
      frame: (session, text, reliable) => {
        if (ofRoom(session)) this.#handlers.frame(text, reliable);
      },
      failed: (session, error) => {
        if (ofRoom(session)) this.#handlers.failed(error);
      },
    });
  }

  #event(event: SessionEvent): void {
    switch (event.type) {
      case "closing":
        if (event.nodes) this.#session.nodes = event.nodes;
        if (!event.nodes?.length || !this.#begun) this.#handlers.closing(event.deadline_ms);
        else if (!this.#moving) void this.#move(event.nodes, event.deadline_ms);
        return;
      case "left":
        this.#left(event.reason);
        return;
      default:
        this.#handlers.event(event);
    }
  }

  #left(reason: CloseReason): void {
    const replacedByOneself = reason === "replaced" && this.#joiningAgain;
    const stopped = reason === "shutdown" && this.#begun && this.#elsewhere().length > 0;
    if (replacedByOneself || stopped) {
      this.#session.end();
      this.#broke();
    } else {
      this.#handlers.ended(reason);
    }
  }

  #eventOfNext(next: Session, event: SessionEvent): void {
    if (event.type === "closing" || event.type === "left") {
      // It isn't to be lived in: what waits for its media learns it.
      next.signalling?.sayLeave();
      next.close();
    } else if (event.type !== "error") {
      next.keep(event);
    }
  }

  // --- a session that broke ---

  #lost(): void {
    if (this.#closed) return;
    this.#backoff.broke();
    this.#broke();
  }

  #broke(): void {
    if (this.#moving) this.#pause.cut();
    else void this.#reconnect();
    this.#handlers.lost();
  }

  async #reconnect(): Promise<void> {
    const session = this.#session;
    const { idle_ms, resume_ms } = session.welcome.session;
    // The server may notice the loss as late as a silence is allowed to be, and keeps the session from then on.
    this.#giveUpAt = performance.now() + idle_ms + resume_ms;
    for (let round = 0; ; round++) {
      await this.#pause.wait(this.#backoff.nextMs());
      if (performance.now() > this.#giveUpAt) return this.#handlers.ended("timed_out");
      const withinMs = Math.min(OPEN_MS, RESUME_MS * 2 ** round);
      try {
        if (!session.isOver) return await this.#resume(withinMs);
      } catch (error) {
        if (codeOf(error) === "no_such_session") session.isOver = true;
        else if (this.#entrance.isFinal(error)) return this.#fail(error);
      }
      if (session.isOver && (this.#closed || !this.#begun)) return this.#handlers.ended("timed_out");
      if (this.#closed || !this.#begun) continue;
      try {
        if (await this.#joinAnew(round, withinMs)) return;
      } catch (error) {
        // For want of a token the session can't be followed by another: it is over, as it would be without other nodes.
        if (codeOf(error) === "token_expired" && this.#entrance.isFinal(error)) {
          return this.#handlers.ended("timed_out");
        }
        if (this.#entrance.isFinal(error)) return this.#fail(error);
      }
    }
  }

  async #resume(withinMs: number): Promise<void> {
    const session = this.#session;
    const entered = await this.#entrance.resume(session.url, session.welcome.session, withinMs);
    if (this.#closed) return goodbye(entered);
    session.attach(entered);
    this.#backoff.opened();
    this.#handlers.reloaded(session);
    session.media.nudge();
    this.#handlers.changed();
  }

  /** Whether there was a node to try. */
  async #joinAnew(round: number, withinMs: number): Promise<boolean> {
    const urls = this.#elsewhere();
    if (urls.length === 0) return false;
    // Everybody else who was on the node comes too.
    if (round === 0) await this.#pause.wait(SPREAD_MS * Math.random());
    if (this.#closed) return false;
    const entered = await this.#entrance.join(urls, withinMs);
    if (this.#closed) {
      goodbye(entered);
      return true;
    }
    const session = this.#newSession(entered);
    this.#backoff.opened();
    this.#use(session);
    session.media.restore();
    this.#handlers.changed();
    return true;
  }

  /** Where the room may be had, in random order: not where it was, unless the session there is known to be over. */
  #elsewhere(): string[] {
    const { url, isOver, nodes } = this.#session;
    const urls = [...nodes, ...this.#entrance.urls, url];
    const bySocket = new Map(urls.map((it) => [socketUrl(it), it]));
    if (!isOver) bySocket.delete(socketUrl(url));
    return shuffled([...bySocket.values()]);
  }

  #fail(error: unknown): void {
    if (!this.#closed) this.#handlers.failed(error as TercetError);
    this.#handlers.ended("failed", error as TercetError);
  }

  // --- a node that stops ---

  async #move(nodes: readonly string[], deadlineMs: number): Promise<void> {
    this.#moving = true;
    const endsAt = performance.now() + deadlineMs;
    await this.#pause.wait(Math.min(deadlineMs / 2, MOVE_WITHIN_MS) * Math.random());
    let moved = false;
    for (const url of shuffled(nodes)) {
      if (this.#closed || moved) break;
      moved = await this.#moveTo(url);
    }
    this.#moving = this.#joiningAgain = false;
    if (this.#closed || moved) return;
    if (this.#session.signalling) this.#handlers.closing(Math.max(0, endsAt - performance.now()));
    else void this.#reconnect();
  }

  /** Whether the room is there now. */
  async #moveTo(url: string): Promise<boolean> {
    this.#joiningAgain = true;
    try {
      const next = this.#newSession(await this.#entrance.join([url], MOVE_JOIN_MS));
      this.#next = next;
      if (await this.#getsReady(next)) {
        const former = this.#session;
        this.#backoff.opened();
        this.#use(next, next.media.peer.tracks);
        this.#handlers.changed();
        former.retire();
        return true;
      }
      next.leave();
    } catch {
      this.#next?.leave();
    } finally {
      this.#next = null;
    }
    return false;
  }

  async #getsReady(next: Session): Promise<boolean> {
    if (this.#closed) return false;
    this.#handlers.carryOver(next);
    await next.media.start();
    if (!(await next.media.peer.connects(MOVE_MEDIA_MS))) return false;
    // What is broken already needn't be overlapped.
    if (this.#session.signalling) await this.#pause.wait(OVERLAP_MS);
    return !this.#closed && next.signalling !== null && next.media.peer.state === "connected";
  }

  /** From here on the room is in another session. */
  #use(session: Session, tracks?: ReceivedTracks): void {
    const former = this.#session;
    this.#session = session;
    session.media.takeOver(former.media);
    this.#handlers.carryOver(session);
    this.#handlers.reloaded(session, tracks);
    if (!tracks) former.close();
  }
}

/** A session that came too late: its client has left. */
function goodbye({ signalling }: Entered): void {
  signalling.sayLeave();
  signalling.close();
}

function shuffled<T>(values: readonly T[]): T[] {
  const ranked = values.map((value) => ({ value, rank: Math.random() }));
  return ranked.sort((a, b) => a.rank - b.rank).map(({ value }) => value);
}
