// A room as an application has it: the model, what one asks for, and the session in which it is asked. What is done when
// that one breaks is decided by `presence.ts`.

import {
  type Call,
  type Choice,
  type CloseReason,
  type ConnectOptions,
  type DialOrder,
  type DialRights,
  type Heights,
  type MuteOptions,
  type Participant,
  type PictureOrigin,
  type Role,
  type Room,
  type RoomEvents,
  type RoomState,
  type RoomStats,
  type ScreenSlot,
  type SendOptions,
  type SharedScreen,
  type Slot,
  type Standing,
  TercetError,
  type TrackOrigin,
  type VideoSlot,
} from "./api.js";
import { Asking, closed } from "./asking.js";
import { Deferred } from "./deferred.js";
import { Emitter } from "./emitter.js";
import { type Entered, Entrance } from "./entrance.js";
import { type Change, RoomModel } from "./model.js";
import { isUnmuteDue } from "./muting.js";
import { onPageHide, onWake } from "./page.js";
import { Presence } from "./presence.js";
import { MUTED, NO_TRACKS, Sending } from "./sending.js";
import { type Session, watching } from "./session.js";
import { refusal } from "./signalling.js";
import { Viewing } from "./viewing.js";
import { DATA_BYTES_MAX, type Request, type RoomChange, type WireError } from "./wire.js";

/** How long one URL is tried at first, if there is no other, and if there is. */
const OPEN_MS = 10_000;
const OPEN_ONE_MS = 5_000;
const LEAVE_MS = 500;

export class LiveRoom implements Room {
  readonly #model: RoomModel;
  readonly #presence: Presence;
  readonly #emitter = new Emitter<RoomEvents>();
  readonly #sending: Sending;
  readonly #asking: Asking;
  readonly #viewing: Viewing;
  readonly #unsubscribe: (() => void)[];
  /** Rejected by the end of the session, for whoever is connecting still. */
  readonly #ended = new Deferred<never>();
  /** Whom to hear, as it was granted. */
  #choice: Choice = {};
  #watched: readonly string[] = [];
  #leaving = false;
  #state: RoomState = "connected";
  #closeReason: CloseReason | null = null;

  static async join(options: ConnectOptions): Promise<Room> {
    if (typeof RTCPeerConnection === "undefined") {
      throw new TercetError("unsupported", "this browser has no WebRTC");
    }
    const entrance = new Entrance(options);
    const withinMs = entrance.urls.length > 1 ? OPEN_ONE_MS : OPEN_MS;
    const room = new LiveRoom(options, entrance, await entrance.join(entrance.urls, withinMs));
    try {
      // The mute overtakes the offer: the server knows of it before it could forward anything.
      const started = Promise.all([options.muted ? room.mute(true) : null, room.#presence.start()]);
      // A session that ends meanwhile isn't waited for: the browser may never answer for a connection that was closed.
      const [, tracks] = await Promise.race([started, room.#ended.promise]);
      room.#model.setTracks(tracks);
    } catch (error) {
      room.#session.signalling?.sayLeave();
      room.#close("failed");
      if (error instanceof TercetError) throw error;
      throw new TercetError("media_failed", String(error), { cause: error });
    }
    return room;
  }

  private constructor(options: ConnectOptions, entrance: Entrance, entered: Entered) {
    const {
      audioTrack = null,
      videoTrack = null,
      video = videoTrack !== null,
      muted = false,
      red,
      dtx,
      videoCodec,
      iceTransportPolicy,
    } = options;
    const videoSlotCount = video ? (entered.welcome.room.video_slots ?? 0) : 0;
    this.#model = new RoomModel(entered.welcome, videoSlotCount);
    const tracks = { ...NO_TRACKS, microphone: audioTrack, camera: videoSlotCount > 0 ? videoTrack : null };
    // Closed from the start; the request follows.
    this.#sending = new Sending(this.me, tracks, muted, (...picture) => this.#sendPicture(...picture));
    const slotCount = this.#model.slots.length;
    const peer = { slotCount, videoSlotCount, tracks, red, dtx, videoCodec, iceTransportPolicy };
    this.#presence = new Presence(entrance, entered, peer, {
      carryOver: (session) => this.#carryOver(session),
      reloaded: (session, tracks) => {
        session.view(this.#viewing.slots);
        this.#emit(this.#model.reload(session.welcome, tracks));
      },
      event: (event) => this.#event(event),
      closing: (deadlineMs) => this.#emitter.emit("closing", deadlineMs),
      lost: () => this.#lost(),
      tracksReplaced: (tracks) => this.#emit(this.#model.setTracks(tracks)),
      frame: (text, reliable) => this.#frame(text, reliable),
      failed: (error) => this.#emitter.emit("error", error),
      changed: () => this.#showState(),
      ended: (reason, cause) => this.#close(reason, cause),
    });
    this.#asking = new Asking(
      () => this.#session,
      () => this.#state === "closed",
    );
    this.#viewing = new Viewing((request, isDue) => this.#asking.untilGranted(request, isDue));
    this.#unsubscribe = [onWake(() => this.#presence.wake()), onPageHide(() => this.#pageHidden())];
  }

  get #session(): Session {
    return this.#presence.session;
  }

  get id(): string {
    return this.#model.id;
  }

  get url(): string {
    return this.#session.url;
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

  get videoSlots(): readonly VideoSlot[] {
    return this.#model.videoSlots;
  }

  get watched(): string | null {
    return this.#watched[0] ?? null;
  }

  get watchedIds(): readonly string[] {
    return this.#watched;
  }

  get dialRights(): DialRights | null {
    return this.#model.dialRights;
  }

  get calls(): ReadonlyMap<number, Call> {
    return this.#model.calls;
  }

  get audioTrack(): MediaStreamTrack | null {
    return this.#sending.tracks.microphone;
  }

  get sharedAudio(): MediaStreamTrack | null {
    return this.#sending.tracks.screen;
  }

  get sharedVideo(): MediaStreamTrack | null {
    return this.#sending.tracks.screen_video;
  }

  get videoTrack(): MediaStreamTrack | null {
    return this.#sending.tracks.camera;
  }

  get peerConnection(): RTCPeerConnection {
    return this.#session.media.peer.connection;
  }

  get webSocket(): WebSocket | null {
    return (this.#state !== "closed" && this.#session.signalling?.socket) || null;
  }

  on<E extends keyof RoomEvents>(event: E, handler: (...args: RoomEvents[E]) => void): () => void {
    return this.#emitter.on(event, handler);
  }

  async setAudioTrack(track: MediaStreamTrack | null): Promise<void> {
    await this.#send("microphone", track);
  }

  async shareAudio(track: MediaStreamTrack | null): Promise<void> {
    await this.#send("screen", track);
  }

  async shareScreen({ video = null, audio = null }: SharedScreen): Promise<void> {
    if (video && !(this.#model.forwardsScreens && this.videoSlots.length > 0)) throw noVideo();
    if (video?.contentHint === "") video.contentHint = "detail";
    await Promise.all([this.#send("screen_video", video), this.#send("screen", audio)]);
  }

  async setVideoTrack(track: MediaStreamTrack | null): Promise<void> {
    if (track && this.videoSlots.length === 0) throw noVideo();
    await this.#send("camera", track);
  }

  async mute(muted: boolean): Promise<void> {
    await this.#setMuted("microphone", muted);
  }

  async muteScreen(muted: boolean): Promise<void> {
    await this.#setMuted("screen", muted);
  }

  async muteScreenVideo(muted: boolean): Promise<void> {
    await this.#setMuted("screen_video", muted);
  }

  async muteCamera(muted: boolean): Promise<void> {
    await this.#setMuted("camera", muted);
  }

  async raiseHand(raised: boolean): Promise<void> {
    await this.#asking.untilGranted({ type: "raise_hand", raised });
    this.#emit(this.#model.patchMe({ handRaised: raised }));
  }

  async listen({ only, except }: Choice): Promise<void> {
    await this.#asking.untilGranted({ type: "listen", only, except });
    this.#choice = { only, except };
  }

  async watch(ids: string | readonly string[] | null): Promise<void> {
    const watched = typeof ids === "string" ? [ids] : [...(ids ?? [])];
    await this.#asking.untilGranted(watching(watched));
    this.#watched = watched;
  }

  async view(heights: Heights): Promise<void> {
    if (this.#state === "closed") throw closed();
    await this.#viewing.view(heights);
  }

  send(data: unknown, { reliable = true, to }: SendOptions = {}): boolean {
    if (this.#state === "closed") throw closed();
    const frame = JSON.stringify({ to, data: data ?? null });
    if (new TextEncoder().encode(frame).length > DATA_BYTES_MAX) {
      throw new TercetError("too_large", `a message has at most ${DATA_BYTES_MAX} bytes`);
    }
    return this.#session.media.send(frame, reliable);
  }

  async leave(): Promise<void> {
    if (this.#state === "closed") return;
    this.#leaving = true;
    const { signalling } = this.#session;
    if (signalling) {
      const left = new Promise<void>((resolve) => this.on("left", () => resolve()));
      signalling.sayLeave();
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

  async #moderate(request: Request): Promise<void> {
    await this.#asking.once((signalling) => signalling.request(request));
  }

  async dial({ to, trunk, name, role, language }: DialOrder): Promise<Call> {
    const request = { type: "dial" as const, to, trunk, name, role, language };
    const { call: id } = await this.#asking.once((signalling) => signalling.request(request));
    // The server tells how it stands before it answers.
    const call = this.calls.get(id);
    if (!call) throw new TercetError("forbidden", "the call is made, but one may not see it any more");
    return call;
  }

  async hangUp(id: number): Promise<void> {
    await this.#moderate({ type: "hang_up", call: id });
  }

  async stats(): Promise<RoomStats> {
    const { connection, meter, sentPictures } = this.#session.media.peer;
    return meter.measure(await connection.getStats(), this, sentPictures);
  }

  /** What one is, and isn't in that session yet: who was muted isn't heard by surprise. */
  #carryOver(session: Session): void {
    const { muted, screenMuted, cameraMuted, screenVideoMuted, handRaised } = this.me;
    const mute = (muted: boolean, track: TrackOrigin) => ({ type: "mute" as const, muted, track });
    session.make("muted", muted, mute(muted, "microphone"));
    session.make("screen_muted", screenMuted, mute(screenMuted, "screen"));
    session.make("camera_muted", cameraMuted, mute(cameraMuted, "camera"));
    session.make("screen_video_muted", screenVideoMuted, mute(screenVideoMuted, "screen_video"));
    session.make("hand_raised", handRaised, { type: "raise_hand", raised: handRaised });
    session.choose(this.#choice);
    session.watch(this.#watched);
    session.view(this.#viewing.slots);
  }

  // --- the session ---

  #event(event: RoomChange | WireError): void {
    if (event.type !== "error") this.#emit(this.#model.apply(event));
    // The WebSocket closes after it, which is answered as any other loss.
    else if (event.code !== "idle_timeout") this.#emitter.emit("error", refusal(event));
  }

  #lost(): void {
    this.#emit(this.#model.silence());
    // Whether the server heard it is unknown: the reconnect finds out.
    if (this.#leaving) this.#close("left");
    else this.#showState();
  }

  #pageHidden(): void {
    this.#session.signalling?.sayLeave();
    this.#close("left");
  }

  #frame(text: string, reliable: boolean): void {
    const { from, data } = JSON.parse(text) as { from: string; data: unknown };
    const participant = this.participants.get(from) ?? null;
    this.#emitter.emit("data", { data, from, participant, reliable });
  }

  async #send(origin: TrackOrigin, track: MediaStreamTrack | null): Promise<void> {
    const sent = this.#sending.set(origin, track);
    if (this.#state !== "closed") await this.#session.media.setTrack(origin, sent);
  }

  #sendPicture(origin: PictureOrigin, track: MediaStreamTrack | null): void {
    // What a browser doesn't take was told to whoever set it.
    if (this.#state !== "closed") this.#session.media.setTrack(origin, track).catch(() => {});
  }

  async #setMuted(track: TrackOrigin, muted: boolean): Promise<void> {
    const field = MUTED[track];
    const before = this.me[field];
    const wish = this.#sending.ask(track, muted);
    try {
      const isDue = () => muted || isUnmuteDue(before, this.me[field]);
      await this.#asking.untilGranted({ type: "mute", muted, track }, isDue);
      if (this.#sending.isLatest(track, wish)) this.#emit(this.#model.patchMe({ [field]: muted }));
    } finally {
      this.#sending.settle(track, wish);
    }
  }

  // --- state ---

  #emit(changes: readonly Change[]): void {
    for (const [event, ...args] of changes) {
      if (event === "participantupdated" && args[0] === this.me) this.#sending.apply();
      this.#emitter.emit(event, ...(args as never));
    }
  }

  #showState(): void {
    if (this.#state === "closed") return;
    const { signalling, healthy } = this.#session;
    const state = signalling && healthy ? "connected" : "reconnecting";
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
    for (const unsubscribe of this.#unsubscribe) unsubscribe();
    this.#presence.close();
    this.#emitter.emit("statechange", "closed", reason);
    this.#emitter.emit("left", reason);
  }
}

function noVideo(): TercetError {
  return new TercetError("no_video", "there is no video in this room");
}
