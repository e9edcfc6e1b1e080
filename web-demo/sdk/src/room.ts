// A session in a room: signalling, media and the model, put together. It decides what is done when one of them
// breaks; how they work is in their own files.

import {
  type Choice,
  type CloseReason,
  type ConnectOptions,
  type MuteOptions,
  type Participant,
  type Role,
  type Room,
  type RoomEvents,
  type RoomState,
  type RoomStats,
  type ScreenSlot,
  type SendOptions,
  type Slot,
  type Standing,
  TercetError,
  type TrackOrigin,
} from "./api.js";
import { Backoff, Pause } from "./backoff.js";
import { Deferred } from "./deferred.js";
import { Emitter } from "./emitter.js";
import { Media } from "./media.js";
import { type Change, RoomModel } from "./model.js";
import { isUnmuteDue, Muting } from "./muting.js";
import { onPageHide, onWake } from "./page.js";
import { refusal, Signalling, socketUrl } from "./signalling.js";
import {
  type Answer,
  DATA_BYTES_MAX,
  type Request,
  type ServerEvent,
  VERSION,
  type Welcome,
} from "./wire.js";

/** After these a session can't be taken up again, however often it is tried. */
const REFUSED_FOR_GOOD = new Set(["unauthorized", "token_expired", "unsupported_version", "bad_message"]);

const LEAVE_MS = 500;

export class LiveRoom implements Room {
  readonly #url: string;
  readonly #model: RoomModel;
  readonly #media: Media;
  readonly #emitter = new Emitter<RoomEvents>();
  readonly #backoff = new Backoff();
  readonly #pause = new Pause();
  readonly #muting = { microphone: new Muting(), screen: new Muting() };
  readonly #unsubscribe: (() => void)[];
  #session: Welcome["session"];
  #signalling: Signalling | null = null;
  /** Settled by the next WebSocket that works, or by the end. */
  #up = new Deferred<Signalling>();
  /** Rejected by the end of the session, for whoever is connecting still. */
  readonly #ended = new Deferred<never>();
  /** When a reconnect has no purpose any more. */
  #giveUpAt = 0;
  #leaving = false;
  #state: RoomState = "connected";
  #closeReason: CloseReason | null = null;
  #mediaHealthy = true;
  #audioTrack: MediaStreamTrack | null;
  #sharedAudio: MediaStreamTrack | null = null;

  static async join(options: ConnectOptions): Promise<Room> {
    if (typeof RTCPeerConnection === "undefined") {
      throw new TercetError("unsupported", "this browser has no WebRTC");
    }
    if (options.videoTrack) console.warn("tercet: this version sends no video, videoTrack is ignored");
    const url = socketUrl(options.url);
    let room: LiveRoom | null = null;
    const { signalling, welcome } = await Signalling.enter(
      url,
      { type: "join", version: VERSION, token: options.token, name: options.name },
      {
        event: (event) => {
          if (room) room.#event(event);
        },
        lost: () => {
          if (room) room.#lost();
        },
      },
    );
    room = new LiveRoom(url, options, welcome, signalling);
    try {
      // The mute overtakes the offer: the server knows of it before it could forward anything.
      const started = Promise.all([options.muted ? room.mute(true) : null, room.#media.start()]);
      // A session that ends meanwhile isn't waited for: the browser may never answer for a connection that was closed.
      await Promise.race([started, room.#ended.promise]);
      room.#model.setTracks(room.#media.peer.tracks);
    } catch (error) {
      room.#signalling?.sayLeave();
      room.#close("failed");
      if (error instanceof TercetError) throw error;
      throw new TercetError("media_failed", String(error), { cause: error });
    }
    return room;
  }

  private constructor(url: string, options: ConnectOptions, welcome: Welcome, signalling: Signalling) {
    this.#url = url;
    this.#session = welcome.session;
    this.#audioTrack = options.audioTrack ?? null;
    // Closed from the start; the request follows.
    if (options.muted) this.#muting.microphone.ask(true);
    this.#model = new RoomModel(welcome);
    this.#media = new Media(
      {
        slotCount: welcome.room.slots,
        audioTrack: this.#audioTrack,
        sharedAudio: null,
        red: options.red,
        dtx: options.dtx,
      },
      {
        offer: (sdp, fresh) => this.#offer(sdp, fresh),
        healthChanged: (healthy) => this.#mediaChanged(healthy),
        tracksReplaced: (tracks) => this.#emit(this.#model.setTracks(tracks)),
        frame: (text, reliable) => this.#frame(text, reliable),
        failed: (error) => this.#emitter.emit("error", error),
      },
    );
    this.#applyMute();
    this.#useSignalling(signalling);
    this.#unsubscribe = [onWake(() => this.#woke()), onPageHide(() => this.#pageHidden())];
  }

  get id(): string {
    return this.#model.id;
  }

  get state(): RoomState {
    return this.#state;
  }

  get closeReason(): CloseReason | null {
    return this.#closeReason;
  }

  get me(): Participant {
    return this.#model.me;
  }

  get participants(): ReadonlyMap<string, Participant> {
    return this.#model.participants;
  }

  get participantCount(): number {
    return this.#model.participantCount;
  }

  get slots(): readonly Slot[] {
    return this.#model.slots;
  }

  get screen(): ScreenSlot {
    return this.#model.screen;
  }

  get audioTrack(): MediaStreamTrack | null {
    return this.#audioTrack;
  }

  get sharedAudio(): MediaStreamTrack | null {
    return this.#sharedAudio;
  }

  get peerConnection(): RTCPeerConnection {
    return this.#media.peer.connection;
  }

  get webSocket(): WebSocket | null {
    return this.#signalling?.socket ?? null;
  }

  on<E extends keyof RoomEvents>(event: E, handler: (...args: RoomEvents[E]) => void): () => void {
    return this.#emitter.on(event, handler);
  }

  async setAudioTrack(track: MediaStreamTrack | null): Promise<void> {
    this.#audioTrack = track;
    // Before it is sent, so that not a packet of a muted participant's new microphone gets out.
    this.#applyMute();
    if (this.#state !== "closed") await this.#media.setAudioTrack(track);
  }

  async shareAudio(track: MediaStreamTrack | null): Promise<void> {
    this.#sharedAudio = track;
    this.#applyMute();
    if (this.#state !== "closed") await this.#media.setSharedAudio(track);
  }

  async mute(muted: boolean): Promise<void> {
    await this.#setMuted("microphone", muted);
  }

  async muteScreen(muted: boolean): Promise<void> {
    await this.#setMuted("screen", muted);
  }

  async raiseHand(raised: boolean): Promise<void> {
    await this.#request({ type: "raise_hand", raised });
    this.#emit(this.#model.patchMe({ handRaised: raised }));
  }

  async listen({ only, except }: Choice): Promise<void> {
    await this.#request({ type: "listen", only, except });
  }

  send(data: unknown, { reliable = true, to }: SendOptions = {}): boolean {
    if (this.#state === "closed") throw closed();
    const frame = JSON.stringify({ to, data: data ?? null });
    if (new TextEncoder().encode(frame).length > DATA_BYTES_MAX) {
      throw new TercetError("too_large", `a message has at most ${DATA_BYTES_MAX} bytes`);
    }
    return this.#media.send(frame, reliable);
  }

  async leave(): Promise<void> {
    if (this.#state === "closed") return;
    this.#leaving = true;
    if (this.#signalling) {
      const left = new Promise<void>((resolve) => this.on("left", () => resolve()));
      this.#signalling.sayLeave();
      await Promise.race([left, new Promise((resolve) => setTimeout(resolve, LEAVE_MS))]);
    }
    this.#close("left");
  }

  async muteParticipant(id: string, { track = "microphone" }: MuteOptions = {}): Promise<void> {
    await this.#moderate({ type: "mute_participant", participant: id, track });
  }

  async lowerHand(id: string): Promise<void> {
    await this.#moderate({ type: "lower_hand", participant: id });
  }

  async setRole(id: string, role: Role): Promise<void> {
    await this.#moderate({ type: "set_role", participant: id, role });
  }

  async setStanding(id: string, standing: Standing): Promise<void> {
    await this.#moderate({ type: "set_standing", participant: id, standing });
  }

  async removeParticipant(id: string): Promise<void> {
    await this.#moderate({ type: "remove_participant", participant: id });
  }

  async stats(): Promise<RoomStats> {
    const { connection, meter } = this.#media.peer;
    return meter.measure(await connection.getStats(), this.slots, this.screen);
  }

  // --- signalling ---

  #useSignalling(signalling: Signalling): void {
    this.#signalling = signalling;
    this.#backoff.opened();
    this.#up.resolve(signalling);
  }

  /**
   * What is asked for oneself means a state, so that a request whose reply was lost with its WebSocket is sent again,
   * if it `isDue` in the state that the new one brought.
   */
  async #request(request: Request, isDue: () => boolean = () => true): Promise<void> {
    for (;;) {
      const signalling = await this.#up.promise;
      if (!isDue()) return;
      try {
        await signalling.request(request);
        return;
      } catch (error) {
        if (!(error instanceof TercetError) || error.code !== "connection_lost") throw error;
        if (this.#state === "closed") throw closed();
      }
    }
  }

  /** Not repeated: it would undo what the others, or another moderator, did meanwhile. */
  async #moderate(request: Request): Promise<void> {
    const signalling = await this.#up.promise;
    try {
      await signalling.request(request);
    } catch (error) {
      if (!(error instanceof TercetError) || error.code !== "connection_lost") throw error;
      if (this.#state === "closed") throw closed();
      throw new TercetError(
        "connection_lost",
        "the connection broke before the reply came: it may have been done or not, and isn't asked for again",
      );
    }
  }

  /** Not repeated: what was true of the network when it was made may be wrong after a reconnect. */
  async #offer(sdp: string, fresh: boolean): Promise<Answer> {
    const signalling = await this.#up.promise;
    return signalling.request({ type: "offer", sdp, fresh });
  }

  #event(event: ServerEvent): void {
    if (this.#state === "closed") return;
    switch (event.type) {
      case "error":
        // The WebSocket closes after it, which is answered as any other loss.
        if (event.code !== "idle_timeout") this.#emitter.emit("error", refusal(event));
        return;
      case "closing":
        this.#emitter.emit("closing", event.deadline_ms);
        return;
      case "left":
        this.#close(event.reason);
        return;
      default:
        this.#emit(this.#model.apply(event));
    }
  }

  #lost(): void {
    if (this.#state === "closed") return;
    this.#signalling = null;
    this.#up = new Deferred();
    this.#backoff.broke();
    this.#emit(this.#model.silence());
    void this.#reconnect();
    // Whether the server heard it is unknown: the reconnect finds out.
    if (this.#leaving) this.#close("left");
    else this.#showState();
  }

  async #reconnect(): Promise<void> {
    // The server may notice the loss as late as a silence is allowed to be, and keeps the session from then on.
    this.#giveUpAt = performance.now() + this.#session.idle_ms + this.#session.resume_ms;
    for (;;) {
      await this.#pause.wait(this.#backoff.nextMs());
      if (performance.now() > this.#giveUpAt) return this.#close("timed_out");
      try {
        return await this.#resume();
      } catch (error) {
        const code = error instanceof TercetError ? error.code : "";
        if (code === "no_such_session") return this.#close("timed_out");
        if (REFUSED_FOR_GOOD.has(code)) {
          if (this.#state !== "closed") this.#emitter.emit("error", error as TercetError);
          return this.#close("failed", error as TercetError);
        }
      }
    }
  }

  async #resume(): Promise<void> {
    const { id, secret } = this.#session;
    const { signalling, welcome } = await Signalling.enter(
      this.#url,
      { type: "resume", version: VERSION, session: id, secret },
      { event: (event) => this.#event(event), lost: () => this.#lost() },
    );
    if (this.#state === "closed") {
      signalling.sayLeave();
      signalling.close();
      return;
    }
    this.#session = welcome.session;
    this.#useSignalling(signalling);
    this.#emit(this.#model.reload(welcome));
    this.#media.nudge();
    this.#showState();
  }

  #woke(): void {
    this.#pause.cut();
    this.#signalling?.probe();
    this.#media.nudge();
  }

  #pageHidden(): void {
    this.#signalling?.sayLeave();
    this.#close("left");
  }

  // --- media ---

  #mediaChanged(healthy: boolean): void {
    this.#mediaHealthy = healthy;
    this.#showState();
  }

  #frame(text: string, reliable: boolean): void {
    const { from, data } = JSON.parse(text) as { from: string; data: unknown };
    const participant = this.participants.get(from) ?? null;
    this.#emitter.emit("data", { data, from, participant, reliable });
  }

  async #setMuted(track: TrackOrigin, muted: boolean): Promise<void> {
    const muting = this.#muting[track];
    const before = this.#isMuted(track);
    const request = muting.ask(muted);
    this.#applyMute();
    try {
      const isDue = () => muted || isUnmuteDue(before, this.#isMuted(track));
      await this.#request({ type: "mute", muted, track }, isDue);
      const now = track === "screen" ? { screenMuted: muted } : { muted };
      if (muting.isLatest(request)) this.#emit(this.#model.patchMe(now));
    } finally {
      muting.settle(request);
      this.#applyMute();
    }
  }

  #isMuted(track: TrackOrigin): boolean {
    return track === "screen" ? this.me.screenMuted : this.me.muted;
  }

  #applyMute(): void {
    const { microphone, screen } = this.#muting;
    if (this.#audioTrack) this.#audioTrack.enabled = microphone.isOpen(this.me.muted);
    if (this.#sharedAudio) this.#sharedAudio.enabled = screen.isOpen(this.me.screenMuted);
  }

  // --- state ---

  #emit(changes: readonly Change[]): void {
    for (const [event, ...args] of changes) {
      if (event === "participantupdated" && args[0] === this.me) this.#applyMute();
      this.#emitter.emit(event, ...(args as never));
    }
  }

  #showState(): void {
    if (this.#state === "closed") return;
    const state = this.#signalling && this.#mediaHealthy ? "connected" : "reconnecting";
    if (state === this.#state) return;
    this.#state = state;
    this.#emitter.emit("statechange", state, null);
  }

  /** The cause is what `connect` rejects with if it is still under way. */
  #close(reason: CloseReason, cause = new TercetError(reason, `the session ended: ${reason}`)): void {
    if (this.#state === "closed") return;
    this.#state = "closed";
    this.#closeReason = reason;
    // First: what is closed below fails too, and the reason is what counts.
    this.#ended.reject(cause);
    // Without a WebSocket the server can't be told yet: the reconnect goes on in the background until it is, or until
    // the server has given up the session by itself.
    if (!this.#signalling)
      this.#giveUpAt = Math.min(this.#giveUpAt, performance.now() + this.#session.resume_ms);
    for (const unsubscribe of this.#unsubscribe) unsubscribe();
    this.#up.reject(closed());
    this.#signalling?.close();
    this.#signalling = null;
    this.#media.close();
    this.#pause.cut();
    this.#emitter.emit("statechange", "closed", reason);
    this.#emitter.emit("left", reason);
  }
}

function closed(): TercetError {
  return new TercetError("closed", "the session is over");
}
