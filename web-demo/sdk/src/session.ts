// One session on one node: a WebSocket, which may break and be followed by another, and media. When it is taken up again,
// and when another session takes its place, is decided by `presence.ts`.

import { type Choice, TercetError } from "./api.js";
import { Deferred } from "./deferred.js";
import type { Entered } from "./entrance.js";
import { Media } from "./media.js";
import type { PeerOptions, ReceivedTracks } from "./peer.js";
import type { Signalling } from "./signalling.js";
import { welcomeAfter } from "./welcome.js";
import type { Answer, Request, RoomChange, ServerEvent, VideoWanted, Welcome, WireView } from "./wire.js";

/** Replies that are under way come within this time. */
const LEAVE_MS = 500;
/** Whoever plays the tracks has so much time to play others. */
const LINGER_MS = 500;

/** What a participant asks for oneself. */
type OwnField = "muted" | "screen_muted" | "camera_muted" | "screen_video_muted" | "hand_raised";

/** What a session doesn't see to by itself. */
export type SessionEvent = Exclude<ServerEvent, VideoWanted>;

export interface SessionHandlers {
  event(session: Session, event: SessionEvent): void;
  /** The WebSocket broke. */
  lost(session: Session): void;
  /** Media broke, or stands again. */
  healthChanged(session: Session): void;
  tracksReplaced(session: Session, tracks: ReceivedTracks): void;
  frame(session: Session, text: string, reliable: boolean): void;
  failed(session: Session, error: TercetError): void;
}

export class Session {
  readonly media: Media;
  readonly #handlers: SessionHandlers;
  #url = "";
  #welcome!: Welcome;
  #signalling: Signalling | null = null;
  /** Settled by the next WebSocket that works, or by the end. */
  #up = new Deferred<Signalling>();
  #healthy = true;
  readonly #made = new Set<OwnField>();
  #choice = "{}";
  #watched = "[]";
  /** What the WebSocket in use was told. */
  #viewed = "[]";
  /** The server has no such session any more. */
  isOver = false;
  /** By which the room is reached besides, as was last said. */
  nodes: readonly string[] = [];

  constructor(entered: Entered, options: PeerOptions, handlers: SessionHandlers) {
    this.#handlers = handlers;
    const peer = { ...options, iceServers: entered.welcome.ice_servers ?? [] };
    this.media = new Media(peer, {
      offer: (sdp, fresh) => this.#offer(sdp, fresh),
      healthChanged: (healthy) => {
        this.#healthy = healthy;
        handlers.healthChanged(this);
      },
      tracksReplaced: (tracks) => handlers.tracksReplaced(this, tracks),
      frame: (text, reliable) => handlers.frame(this, text, reliable),
      failed: (error) => handlers.failed(this, error),
    });
    this.attach(entered);
  }

  /** The base URL of the node through which it is had. */
  get url(): string {
    return this.#url;
  }

  get welcome(): Welcome {
    return this.#welcome;
  }

  get signalling(): Signalling | null {
    return this.#signalling;
  }

  /** The WebSocket, or the next one; rejects with `connection_lost` when there will be none. */
  get up(): Promise<Signalling> {
    return this.#up.promise;
  }

  get healthy(): boolean {
    return this.#healthy;
  }

  /** The WebSocket on which the session was welcomed, at first or again. */
  attach({ url, signalling, welcome }: Entered): void {
    this.#url = url;
    this.#welcome = welcome;
    this.nodes = welcome.nodes ?? [];
    this.media.iceServers = welcome.ice_servers ?? [];
    this.#signalling = signalling;
    this.#viewed = "[]";
    signalling.attend({
      event: (event) => {
        if (event.type === "video_wanted") this.media.setLayersWatched(event.origin, event.layers);
        else this.#handlers.event(this, event);
      },
      lost: () => {
        this.#detach();
        this.#handlers.lost(this);
      },
    });
    this.#up.resolve(signalling);
  }

  /** Keeps the welcome up to date, for as long as it wasn't looked at. */
  keep(change: RoomChange): void {
    this.#welcome = welcomeAfter(this.#welcome, change);
  }

  /**
   * One is to be so in it as well. What somebody else made of one in it isn't undone: only what was asked for here before
   * is taken back.
   */
  make(field: OwnField, wanted: boolean, request: Request): void {
    const own = this.#welcome.participants.find(({ id }) => id === this.#welcome.participant);
    if (!own || own[field] === wanted || (!wanted && !this.#made.has(field))) return;
    this.#made.add(field);
    this.keep({ type: "participant_updated", participant: { ...own, [field]: wanted } });
    this.#ask(request);
  }

  /** Whom to hear in it. */
  choose({ only, except }: Choice): void {
    const choice = JSON.stringify({ only, except });
    if (choice === this.#choice) return;
    this.#choice = choice;
    this.#ask({ type: "listen", only, except });
  }

  /** Whom to watch in it. */
  watch(ids: readonly string[]): void {
    const watched = JSON.stringify(ids);
    if (watched === this.#watched) return;
    this.#watched = watched;
    this.#ask(watching(ids));
  }

  /** How high the video slots are drawn. A server that doesn't care sends them as large as may be. */
  view(slots: readonly WireView[]): void {
    const viewed = JSON.stringify(slots);
    if (viewed === this.#viewed) return;
    this.#viewed = viewed;
    this.#signalling?.request({ type: "view", slots: [...slots] }).catch(() => {});
  }

  /** The server ended it: media may go on for a while. */
  end(): void {
    this.isOver = true;
    this.#signalling?.close();
    this.#detach();
  }

  leave(): void {
    this.#signalling?.sayLeave();
    setTimeout(() => this.close(), LEAVE_MS);
  }

  /** Leaves when nobody plays it any more. */
  retire(): void {
    if (!this.#signalling) this.#up.reject(lost());
    setTimeout(() => this.leave(), LINGER_MS);
  }

  /** Ends it from this side: no handler is called any more, and those who wait for a WebSocket learn that none comes. */
  close(): void {
    // First: the media would ask again where the offer alone was lost.
    this.media.close();
    this.#up.reject(lost());
    this.#signalling?.close();
    this.#signalling = null;
  }

  #ask(request: Request): void {
    const failed = (error: TercetError) => {
      if (error.code !== "connection_lost") this.#handlers.failed(this, error);
    };
    this.#signalling?.request(request).catch(failed);
  }

  #detach(): void {
    this.#signalling = null;
    this.#up = new Deferred();
  }

  /** Not repeated: what was true of the network when it was made may be wrong after a reconnect. */
  async #offer(sdp: string, fresh: boolean): Promise<Answer> {
    const signalling = await this.#up.promise;
    return signalling.request({ type: "offer", sdp, fresh });
  }
}

/** One alone is said as servers know it that show no more. */
export function watching(ids: readonly string[]): Request {
  return ids.length > 1 ? { type: "watch", participants: [...ids] } : { type: "watch", participant: ids[0] };
}

function lost(): TercetError {
  return new TercetError("connection_lost", "the session was given up");
}
