// The messages of docs/protocol.md, version 1, as they cross the WebSocket. Nothing of this is public:
// `model.ts` turns it into the objects of `api.ts`.

import type {
  CallState,
  DialOrder,
  LeaveReason,
  PictureOrigin,
  Role,
  Standing,
  TrackOrigin,
  Transport,
} from "./api.js";

export const VERSION = 1;

/** The largest data-channel frame that the server forwards. */
export const DATA_BYTES_MAX = 15 * 1024;

export interface WireTrack {
  id: string;
  kind: string;
  origin: TrackOrigin;
}

export interface WireParticipant {
  id: string;
  name: string;
  role: Role;
  transport: Transport;
  standing: Standing;
  muted: boolean;
  screen_muted: boolean;
  camera_muted: boolean;
  hand_raised: boolean;
  source: number;
  screen_source: number;
  camera_source: number;
  /** Absent where the server forwards no pictures of screens, as is the next. */
  screen_video_muted?: boolean;
  screen_video_source?: number;
  tracks: WireTrack[];
}

export interface WireVideoSlot extends WireSlot {
  /** A camera's if absent. */
  origin?: PictureOrigin;
}

export interface WireSlot {
  index: number;
  mid: string | null;
  participant: string | null;
}

/** How high a video slot is drawn, in physical pixels; 0 where it can't be seen. */
export interface WireView {
  index: number;
  height: number;
}

export interface WireCall {
  call: number;
  name: string;
  state: CallState;
  participant: string | null;
  reason?: string;
  status?: number;
}

export interface WireDialRights {
  users: boolean;
  trunks: string[];
}

export interface Welcome {
  type: "joined" | "resumed";
  version: number;
  session: { id: string; secret: string; resume_ms: number; idle_ms: number };
  room: { id: string; slots: number; video_slots: number };
  participant: string;
  participants: WireParticipant[];
  participant_count: number;
  slots: WireSlot[];
  screen: string | null;
  /** Absent where no video slots were offered yet. */
  video?: WireVideoSlot[];
  /** Whom one may have called. */
  dial?: WireDialRights;
  calls?: WireCall[];
  /** Base URLs of other nodes, should this one be gone. */
  nodes?: string[];
  /** Relays, with credentials that serve for hours. */
  ice_servers?: RTCIceServer[];
}

/** Another node serves it. */
export interface Redirect {
  type: "redirect";
  url: string;
}

export interface Answer {
  type: "answer";
  sdp: string;
  slots: { index: number; mid: string }[];
  video?: { index: number; mid: string }[];
}

export interface Dialled {
  type: "dialled";
  call: number;
}

export interface WireError {
  type: "error";
  code: string;
  message: string;
  fatal: boolean;
  retry_after_ms?: number;
}

/** What changes the room as this client sees it. */
export type RoomChange =
  | { type: "participant_joined"; participant: WireParticipant }
  | { type: "participant_updated"; participant: WireParticipant }
  | { type: "participant_left"; participant: string; reason: LeaveReason }
  | { type: "attendance"; participant_count: number }
  | { type: "track_published"; participant: string; track: WireTrack }
  | { type: "track_unpublished"; participant: string; track: string }
  | { type: "slots"; slots: WireSlot[] }
  | { type: "video"; slots: WireVideoSlot[] }
  | { type: "screen"; participant: string | null }
  | { type: "speakers"; levels: { participant: string; level_dbov: number }[] }
  | { type: "call_updated"; call: WireCall }
  | { type: "dial_rights"; dial: WireDialRights | null; calls: WireCall[] };

/** Of the layers of one's own picture, smallest first, so many are watched: at least one. */
export interface VideoWanted {
  type: "video_wanted";
  origin: PictureOrigin;
  layers: number;
}

/** What comes without having been asked for. */
export type ServerEvent =
  | RoomChange
  | WireError
  | VideoWanted
  | { type: "closing"; deadline_ms: number; nodes?: string[] }
  | { type: "left"; reason: LeaveReason };

export type Hello = { version: number; may_redirect: boolean } & (
  | { type: "join"; token: string; name?: string }
  | { type: "resume"; session: string; secret: string }
);

export type Request =
  | { type: "offer"; sdp: string; fresh: boolean }
  | { type: "mute"; muted: boolean; track: TrackOrigin }
  | { type: "raise_hand"; raised: boolean }
  | { type: "listen"; only?: string[]; except?: string[] }
  | { type: "watch"; participant?: string; participants?: string[] }
  | { type: "view"; slots: WireView[] }
  | { type: "mute_participant"; participant: string; track: TrackOrigin }
  | { type: "lower_hand"; participant: string }
  | { type: "set_role"; participant: string; role: Role }
  | { type: "set_standing"; participant: string; standing: Standing }
  | { type: "remove_participant"; participant: string }
  | ({ type: "dial" } & DialOrder)
  | { type: "hang_up"; call: number }
  | { type: "ping" };
