// The public interface of the SDK: what an application sees of a room, and nothing else.
// It imports nothing, so that its declarations alone are the published `tercet.d.ts`.

/** What a participant may do: hear; hear and be heard; and also mute, promote, demote and remove others. */
export type Role = "listener" | "speaker" | "moderator";

/** How a participant is attached: by a browser or an app, or by phone. */
export type Transport = "webrtc" | "sip" | "whip" | "whep";

/**
 * How a voice stands among the others: `ordinary` competes by its level; `priority` is heard as soon as it speaks, and
 * loses the slot to no ordinary one while it does; `pinned` has a slot for as long as it is sent.
 */
export type Standing = "ordinary" | "priority" | "pinned";

/** `reconnecting`: signalling or media broke and is being repaired. `closed` is final. */
export type RoomState = "connected" | "reconnecting" | "closed";

/** Why a participant is no longer in the room. */
export type LeaveReason = "left" | "timed_out" | "replaced" | "removed" | "shutdown";

/** Why a room is closed: as of a participant, or `failed` when the server refused to take the session up again. */
export type CloseReason = LeaveReason | "failed";

/** Where a picture comes from. */
export type PictureOrigin = "camera" | "screen_video";

/** Where a published track comes from: a voice, the sound of a shared screen, tab or application, or a picture. */
export type TrackOrigin = "microphone" | "screen" | PictureOrigin;

/** In what a picture is sent. */
export type VideoCodec = "vp8" | "h264" | "vp9" | "av1";

/** What a participant publishes. */
export interface Track {
  readonly id: string;
  readonly kind: string;
  readonly origin: TrackOrigin;
}

/** Somebody who is listed in the room. The object stays the same, and is updated, for as long as they are there. */
export interface Participant {
  readonly id: string;
  readonly name: string;
  readonly role: Role;
  readonly transport: Transport;
  readonly standing: Standing;
  /** Their microphone is withheld from the room. */
  readonly muted: boolean;
  /** The sound of their screen is. */
  readonly screenMuted: boolean;
  /** The picture of their camera is. */
  readonly cameraMuted: boolean;
  /** The picture of their screen is. */
  readonly screenVideoMuted: boolean;
  readonly handRaised: boolean;
  /** The CSRC that packets of theirs carry in a slot (`getContributingSources()`). */
  readonly source: number;
  /** As `source`, of the sound of their screen. */
  readonly screenSource: number;
  /** As `source`, of the picture of their camera. */
  readonly cameraSource: number;
  /** As `source`, of the picture of their screen. */
  readonly screenVideoSource: number;
  readonly tracks: readonly Track[];
  /** Loudness in dBov (RFC 6464): -127 is silence, 0 the overload point. Follows the `speakers` event. */
  readonly levelDbov: number;
}

/** The properties of a participant that can change. */
export type ParticipantField =
  | "name"
  | "role"
  | "standing"
  | "muted"
  | "screenMuted"
  | "cameraMuted"
  | "screenVideoMuted"
  | "handRaised";

/** Whom to hear, by participants' ids: at most 256 in each list. They needn't be there yet. */
export interface Choice {
  /** These and nobody else. */
  only?: string[];
  /** Not these: muted for oneself. */
  except?: string[];
}

/** A stable downstream position, which carries one speaker at a time. */
export interface Slot {
  readonly index: number;
  /** The receiver's track. It stays for the session, unless the peer connection had to be replaced. */
  readonly track: MediaStreamTrack;
  /** Who is heard in it now. */
  readonly participant: Participant | null;
}

/** The screen slot: one participant's shared sound at a time, beside the speakers. */
export interface ScreenSlot {
  /** The receiver's track. It stays for the session, unless the peer connection had to be replaced. */
  readonly track: MediaStreamTrack;
  /** Who shares: oneself too, who doesn't hear it. Others who share wait until they stop. */
  readonly participant: Participant | null;
}

/**
 * A place in which one other is seen at a time: in the first ones those whom one watches, then whoever spoke last. A screen
 * that is shared comes before all of them.
 */
export interface VideoSlot {
  readonly index: number;
  /** The receiver's track. It stays for the session, unless the peer connection had to be replaced. */
  readonly track: MediaStreamTrack;
  /** Who is seen in it now, or is from their first whole picture on: until then frames of whoever was seen before go on. */
  readonly participant: Participant | null;
  /** Whether it is their camera or their screen. */
  readonly origin: PictureOrigin;
  /** Whether the frame that came last is of that. To be asked with each frame, or some times a second. */
  readonly isShown: boolean;
}

/** By the index of a video slot how high it is drawn, in physical pixels: those of CSS times `devicePixelRatio`; 0 is unseen. */
export type Heights = ReadonlyMap<number, number> | Readonly<Record<number, number>>;

/** Somebody to be called into the room, by phone. */
export interface DialOrder {
  /** A number, or the name of a user of the server's: 1 to 64 letters, digits, and `+ * # . - _`. */
  to: string;
  /** Through which trunk. It may be left out if there is only one, and is for a user. */
  trunk?: string;
  /** How others see them; without it the number, masked. */
  name?: string;
  /** `speaker` if absent. */
  role?: "speaker" | "listener";
  /** The language of what they are told: `en`, `de`, `fr` or `es`. */
  language?: string;
}

/** Whom one may have called. */
export interface DialRights {
  /** Whether there are users of the server's, who are called by their names. */
  readonly users: boolean;
  /** The trunks through which numbers are called. */
  readonly trunks: readonly string[];
}

/** `dialling`: nothing was heard from there yet. `talking`: it was answered. */
export type CallState = "dialling" | "ringing" | "talking" | "ended";

/** A call out of the room. The object stays the same, and is updated, until the call has ended. */
export interface Call {
  readonly id: number;
  /** How the one who is called is shown. */
  readonly name: string;
  readonly state: CallState;
  /** The id of the participant that they are, while they are in the room. */
  readonly participant: string | null;
  /**
   * Why it ended: `rejected`, `not_answered`, `hung_up`, `peer_hung_up`, `left`, `removed`, ...; `null` before,
   * and when it isn't known because it was while reconnecting, or on a node that one has left.
   */
  readonly reason: string | null;
  /** The status of SIP that it ended by, if there was one: 486 is busy. */
  readonly status: number | null;
}

/** How loud a selected speaker is. */
export interface SpeakerLevel {
  readonly participant: Participant;
  /** -127 to 0, RFC 6464. */
  readonly levelDbov: number;
}

/** A message of another participant's. */
export interface DataMessage {
  /** As it was sent: any JSON value. */
  readonly data: unknown;
  /** The sender's id. */
  readonly from: string;
  /** The sender, or `null` if they left meanwhile or aren't listed. */
  readonly participant: Participant | null;
  /** Which of the two channels brought it. */
  readonly reliable: boolean;
}

/** What a slot received since the previous call of `stats()`. */
export interface SlotStats {
  readonly index: number;
  readonly participant: string | null;
  readonly bitrateBps: number;
  /** Packets lost of packets expected, 0 to 1. */
  readonly lossRatio: number;
  readonly jitterMs: number;
  /** Samples that had to be invented, without those of silence, of samples played, 0 to 1. */
  readonly concealmentRatio: number;
  /** How many times samples had to be invented. */
  readonly concealmentEvents: number;
}

/** What a video slot received since the previous call of `stats()`. */
export interface VideoSlotStats {
  readonly index: number;
  readonly participant: string | null;
  readonly origin: PictureOrigin;
  readonly bitrateBps: number;
  /** Packets lost of packets expected, 0 to 1: most of them came when they were sent again. */
  readonly lossRatio: number;
  readonly framesPerSecond: number;
  /** Of the latest picture, in pixels; 0 before the first. */
  readonly width: number;
  readonly height: number;
  /** How many times the picture stood still for much longer than usual, and for how long in all. */
  readonly freezes: number;
  readonly freezeMs: number;
}

/** What was sent of a picture since the previous call of `stats()`, in one of its sizes. */
export interface SentVideoStats {
  readonly origin: PictureOrigin;
  /** The name of the encoding, where there are several. */
  readonly rid: string | null;
  readonly bitrateBps: number;
  readonly framesPerSecond: number;
  /** 0 before the first picture. */
  readonly width: number;
  readonly height: number;
}

/** What was measured since the previous call of `stats()`. */
export interface RoomStats {
  readonly intervalMs: number;
  readonly bitrateInBps: number;
  readonly bitrateOutBps: number;
  /** Of what this client receives, 0 to 1. */
  readonly lossRatio: number;
  /** Of what this client sends, as the server reports it: of voice, screen and camera the worst. `null` before its first report. */
  readonly lossOutRatio: number | null;
  /** The largest of the audio received. */
  readonly jitterMs: number;
  /** `null` before the first measurement. */
  readonly rttMs: number | null;
  readonly slots: readonly SlotStats[];
  readonly video: readonly VideoSlotStats[];
  /** Of the pictures that are sent, each size in which it is. */
  readonly sentVideo: readonly SentVideoStats[];
}

export interface ConnectOptions {
  /**
   * The server's base URL: `https://host`, or `wss://host`; the WebSocket is `${url}/v1/ws`. Of several, which are nodes of
   * one cluster, each is tried in turn.
   */
  url: string | string[];
  /** The access token (JWT). */
  token: string;
  /**
   * Asked for a fresh token of the same room and identity when the server says that the one in hand has expired: on
   * entering, and when the room is entered again through another node.
   */
  getToken?: () => Promise<string>;
  /** What to send: a microphone, a WebAudio destination, ... Can be set and replaced later. */
  audioTrack?: MediaStreamTrack | null;
  /** Watch others, and be able to be seen. It can't be had later; without it nothing of video is received. */
  video?: boolean;
  /** The picture to send: of a camera, a canvas, ... Can be set and replaced later. It implies `video`. */
  videoTrack?: MediaStreamTrack | null;
  /**
   * In what pictures are sent, if the browser can: `vp8` if absent. `vp8` and `h264` are sent in several sizes at once, `vp9`
   * and `av1` in layers of one stream: fewer bits, more work for the sender.
   */
  videoCodec?: VideoCodec;
  /** The name to show, in place of the token's. */
  name?: string;
  /** Enter muted: nothing is heard before the first `mute(false)`. */
  muted?: boolean;
  /** Put RED (RFC 2198) before Opus in what is sent: twice the bitrate, robust against loss. */
  red?: boolean;
  /** Send almost nothing in silence (`usedtx=1`). It concerns the microphone only: the pauses of music are no silence. */
  dtx?: boolean;
  /** `relay`: media goes through the server's TURN servers only, if it has any. By default any way will do. */
  iceTransportPolicy?: RTCIceTransportPolicy;
}

/** What is shared of a screen, tab or application. */
export interface SharedScreen {
  video?: MediaStreamTrack | null;
  audio?: MediaStreamTrack | null;
}

export interface SendOptions {
  /** `true`, the default: in order, and queued while there is no connection. `false`: at most once, now or never. */
  reliable?: boolean;
  /** Ids of the receivers; everybody else in the room if absent. */
  to?: string[];
}

export interface MuteOptions {
  /** Which of the participant's tracks: the microphone's if absent. */
  track?: TrackOrigin;
}

/** The events of a room, and what their handlers are called with. */
export interface RoomEvents {
  /** Somebody else is listed: they came, or did something for which they are. */
  participantjoined: [participant: Participant];
  participantupdated: [participant: Participant, changed: ReadonlySet<ParticipantField>];
  /** The reason is `null` when they left while this client was reconnecting. */
  participantleft: [participant: Participant, reason: LeaveReason | null];
  /** How many are in the room, listed or not: in a large room at most once a second. */
  participantcount: [count: number];
  trackpublished: [track: Track, participant: Participant];
  trackunpublished: [track: Track, participant: Participant];
  /** Somebody else is in a slot, or the tracks are new ones. */
  slots: [slots: readonly Slot[]];
  /** Somebody else's sound is in the screen slot, or nobody's, or its track is a new one. */
  screen: [screen: ScreenSlot];
  /** Somebody else is seen in a video slot, or the tracks are new ones. */
  video: [slots: readonly VideoSlot[]];
  /** At most ten times a second, while somebody speaks; an empty list ends a time of speech. */
  speakers: [levels: readonly SpeakerLevel[]];
  data: [message: DataMessage];
  /** A call out of the room began, stands otherwise than before, or has ended and is no longer one of `calls`. */
  call: [call: Call];
  /** Others may be called, or nobody: then `calls` is empty too. */
  dialrights: [rights: DialRights | null];
  statechange: [state: RoomState, reason: CloseReason | null];
  /** The server is going to stop, and no other node takes the session; it ends after so many milliseconds. */
  closing: [deadlineMs: number];
  /** The session is over. */
  left: [reason: CloseReason];
  /** Something went wrong that no call was waiting for. The room goes on unless its state is `closed`. */
  error: [error: TercetError];
}

/** A session in a room. */
export interface Room {
  /** The room's name. */
  readonly id: string;
  /** The base URL of the node through which one is in the room now. */
  readonly url: string;
  readonly state: RoomState;
  /** Why the state is `closed`. */
  readonly closeReason: CloseReason | null;
  /** Oneself; also one of `participants`. */
  readonly me: Participant;
  /**
   * Who is listed, by id: oneself, those who may speak or ask to, and of those who only listen the first hundred or as many
   * as the server lists.
   */
  readonly participants: ReadonlyMap<string, Participant>;
  /** How many are in the room, listed or not. */
  readonly participantCount: number;
  readonly slots: readonly Slot[];
  readonly screen: ScreenSlot;
  /** None without the option `video`, or in a room without video. */
  readonly videoSlots: readonly VideoSlot[];
  /** Whom one chose to watch, by id: of several the first; `null` while it is whoever speaks. */
  readonly watched: string | null;
  /** All of them, in their order. */
  readonly watchedIds: readonly string[];
  /** Whom one may have called into the room: `null` if nobody, which the server decides. */
  readonly dialRights: DialRights | null;
  /** The calls out of the room that this node makes, by id, for those who may dial. */
  readonly calls: ReadonlyMap<number, Call>;
  /** What is being sent. */
  readonly audioTrack: MediaStreamTrack | null;
  /** The picture that is being sent. */
  readonly videoTrack: MediaStreamTrack | null;
  /** What is being shared besides, whether it is heard yet or not. */
  readonly sharedAudio: MediaStreamTrack | null;
  /** The picture of a screen that is being shared, whether it is seen yet or not. */
  readonly sharedVideo: MediaStreamTrack | null;

  /** Calls `handler` at each `event`; the function returned ends that. */
  on<E extends keyof RoomEvents>(event: E, handler: (...args: RoomEvents[E]) => void): () => void;

  /** Sends another track, or none. Nothing is renegotiated; the former track isn't stopped. */
  setAudioTrack(track: MediaStreamTrack | null): Promise<void>;
  /** Withholds one's audio: the track is disabled at once, then the server and everybody else are told. */
  mute(muted: boolean): Promise<void>;
  /**
   * Shares the sound of a screen, tab or application beside one's voice, or stops with `null`. Nothing is renegotiated;
   * the track isn't stopped, and one that ends goes on being shared in silence.
   */
  shareAudio(track: MediaStreamTrack | null): Promise<void>;
  /**
   * As `shareAudio`, with the picture of the screen: what is absent or `null` isn't shared any more. A picture without a
   * `contentHint` gets `detail`. Throws `no_video` where there is a picture and the room has none.
   */
  shareScreen(screen: SharedScreen): Promise<void>;
  /** As `mute`, for the sound that is shared. */
  muteScreen(muted: boolean): Promise<void>;
  /** As `mute`, for the picture that is shared, which is then not sent at all. */
  muteScreenVideo(muted: boolean): Promise<void>;
  /**
   * Sends another picture, or none: others see that at once after `muteCamera`, else 3 s later. Throws `no_video` where
   * the room has none, or `connect` wasn't asked for `video`. Nothing is renegotiated; the former track isn't stopped.
   */
  setVideoTrack(track: MediaStreamTrack | null): Promise<void>;
  /** As `mute`, for the picture, which is then not sent at all. */
  muteCamera(muted: boolean): Promise<void>;
  /**
   * Sees somebody in the first video slot for as long as they are there, speaking or not, or up to 16 in the first ones, in
   * this order; the other slots follow the speakers. `null` ends it.
   */
  watch(ids: string | readonly string[] | null): Promise<void>;
  /**
   * Says how high the video slots are drawn: what is sent is no larger, and of what can't be seen nothing is. Each call replaces
   * the one before, and slots that aren't named are as large as may be. To be called as often as it changes: the server is
   * asked at most four times a second. `observeView` does this for elements.
   */
  view(heights: Heights): Promise<void>;
  raiseHand(raised: boolean): Promise<void>;
  /** Chooses whom to hear, in place of the speakers of the room. An empty choice ends it. */
  listen(choice: Choice): Promise<void>;
  /**
   * Sends any JSON value, at most 15 KiB, to everybody else or to some. Throws `too_large`, `busy` (the queue is
   * full) or `closed`. Returns `false` if the message was dropped, which happens to unreliable ones only.
   */
  send(data: unknown, options?: SendOptions): boolean;
  /** Ends the session. The tracks that were given are not stopped. */
  leave(): Promise<void>;

  /** Moderators: mutes somebody's microphone, what they share, or their camera. Only they themselves can undo it. */
  muteParticipant(id: string, options?: MuteOptions): Promise<void>;
  /** Moderators. */
  lowerHand(id: string): Promise<void>;
  /** Moderators: promotes or demotes somebody, at once. */
  setRole(id: string, role: Role): Promise<void>;
  /** Moderators: lets somebody's voice come before others, or not. */
  setStanding(id: string, standing: Standing): Promise<void>;
  /** Moderators: ends somebody's session. */
  removeParticipant(id: string): Promise<void>;

  /** Moderators who may: has somebody called into the room. Resolves once they are being called. */
  dial(order: DialOrder): Promise<Call>;
  /** Moderators who may: hangs up a call, whether it was answered or not. */
  hangUp(id: number): Promise<void>;

  /** Measures since the previous call; the first call since the peer connection began. */
  stats(): Promise<RoomStats>;
  /** For reading statistics and for diagnostics: whoever changes it breaks the room. Replaced when it can't be repaired. */
  readonly peerConnection: RTCPeerConnection;
  /** For diagnostics. `null` while reconnecting and when closed. */
  readonly webSocket: WebSocket | null;
}

/**
 * A refusal, with a code for programs and a sentence for people. The codes are the protocol's (`forbidden`,
 * `room_full`, ...) and the SDK's own: `unreachable`, `connection_lost`, `outdated`, `media_unreachable`,
 * `media_failed`, `no_video`, `unsupported`, `too_large`, `busy`, `closed`; and, where `connect` is told that the session ended
 * before it stood, its `CloseReason`.
 */
export class TercetError extends Error {
  readonly code: string;
  /** When to try again, where the server says so: with `overloaded`, if others may leave soon. */
  readonly retryAfterMs: number | null;

  constructor(code: string, message: string, options: ErrorOptions & { retryAfterMs?: number } = {}) {
    super(message, options);
    this.name = "TercetError";
    this.code = code;
    this.retryAfterMs = options.retryAfterMs ?? null;
  }
}
