// The room as this client knows it. Welcomes and changes come in from the wire, the events that they mean go out;
// nothing here knows of sockets, so that a test can tell the story of a room in a few messages.
//
// The objects that an application holds stay the same: they are changed in place, before their event is emitted.

import type {
  Call,
  DialRights,
  LeaveReason,
  Participant,
  ParticipantField,
  PictureOrigin,
  RoomEvents,
  ScreenSlot,
  Slot,
  SpeakerLevel,
  Track,
  VideoSlot,
} from "./api.js";
import type { ReceivedTracks } from "./peer.js";
import { MUTED, type Mutes } from "./sending.js";
import { isOf } from "./video.js";
import type {
  RoomChange,
  Welcome,
  WireCall,
  WireParticipant,
  WireSlot,
  WireTrack,
  WireVideoSlot,
} from "./wire.js";

type Mutable<T> = { -readonly [K in keyof T]: T[K] };
type Seat = Pick<Mutable<Slot>, "index" | "participant">;
type Person = Mutable<Participant> & { tracks: Track[] };

/** A handler's arguments, with the name of the event. */
export type Change = { [E in keyof RoomEvents]: [event: E, ...args: RoomEvents[E]] }[keyof RoomEvents];

const SILENCE_DBOV = -127;

export class RoomModel {
  readonly id: string;
  readonly me: Participant;
  /** Whether the server knows of pictures of screens. */
  readonly forwardsScreens: boolean;
  readonly participants = new Map<string, Person>();
  participantCount: number;
  readonly slots: Mutable<Slot>[] = [];
  readonly screen: Mutable<ScreenSlot> = {
    track: undefined as unknown as MediaStreamTrack,
    participant: null,
  };
  readonly videoSlots: PictureSlot[] = [];
  dialRights: DialRights | null = null;
  readonly calls = new Map<number, Mutable<Call>>();
  #session: string;
  /** Who had a level in the latest `speakers`, and has to lose it when absent from the next. */
  #loud = new Set<Person>();

  /** The slots and the screen have no tracks yet: `setTracks` has to follow before anybody looks. */
  constructor(welcome: Welcome, videoSlotCount = 0) {
    this.id = welcome.room.id;
    for (const wire of welcome.participants) this.participants.set(wire.id, person(wire));
    const me = this.participants.get(welcome.participant);
    if (!me) throw new TypeError("the welcome has no entry for its receiver");
    this.me = me;
    this.forwardsScreens = welcome.participants.some((it) => it.screen_video_source !== undefined);
    this.participantCount = welcome.participant_count;
    for (let index = 0; index < welcome.room.slots; index++) this.slots.push(slotAt(index));
    for (let index = 0; index < videoSlotCount; index++) this.videoSlots.push(new PictureSlot(index));
    this.#seat(welcome.slots);
    this.#see(welcome.video ?? []);
    this.#show(welcome.screen);
    this.#session = welcome.session.id;
    this.#dial(welcome.dial ?? null, welcome.calls ?? []);
  }

  /** The whole state again, after a reconnect: the events are the difference. Other tracks may come with it. */
  reload(welcome: Welcome, tracks?: ReceivedTracks): Change[] {
    const changes: Change[] = [];
    const present = new Set(welcome.participants.map(({ id }) => id));
    for (const id of [...this.participants.keys()]) {
      if (!present.has(id)) changes.push(...this.#leave(id, null));
    }
    for (const wire of welcome.participants) {
      const known = this.participants.get(wire.id);
      changes.push(...(known ? [...update(known, wire), ...retrack(known, wire.tracks)] : this.#join(wire)));
    }
    const seated = [
      ...this.#seat(welcome.slots),
      ...this.#show(welcome.screen),
      ...this.#see(welcome.video ?? []),
    ];
    // Tracks and those who are heard or seen in them change at once.
    changes.push(...(tracks ? this.setTracks(tracks) : seated));
    // Another node counts its calls itself, and one that was restarted counts them anew.
    const former = welcome.session.id === this.#session ? [] : this.#endAllCalls();
    this.#session = welcome.session.id;
    const calls = this.#dial(welcome.dial ?? null, welcome.calls ?? []);
    return [...changes, ...this.silence(), ...this.#count(welcome.participant_count), ...former, ...calls];
  }

  /** What nobody tells any more isn't known: who spoke when the connection broke needn't speak now. */
  silence(): Change[] {
    return this.#loud.size > 0 ? [this.#levels([])] : [];
  }

  apply(change: RoomChange): Change[] {
    if (change.type === "attendance") return this.#count(change.participant_count);
    // While everybody is listed, the list is the number. Otherwise `attendance` tells it, a little later.
    const listsAll = this.participantCount <= this.participants.size;
    // What a later server tells besides is no change.
    const changes = this.#apply(change) ?? [];
    const { size } = this.participants;
    return [...changes, ...this.#count(listsAll ? size : Math.max(size, this.participantCount))];
  }

  #apply(change: Exclude<RoomChange, { type: "attendance" }>): Change[] {
    switch (change.type) {
      case "participant_joined":
      case "participant_updated": {
        const known = this.participants.get(change.participant.id);
        return known ? update(known, change.participant) : this.#join(change.participant);
      }
      case "participant_left":
        return this.#leave(change.participant, change.reason);
      case "track_published":
        return this.#publish(change.participant, change.track);
      case "track_unpublished": {
        const owner = this.participants.get(change.participant);
        return owner
          ? retrack(
              owner,
              owner.tracks.filter(({ id }) => id !== change.track),
            )
          : [];
      }
      case "slots":
        return this.#seat(change.slots);
      case "screen":
        return this.#show(change.participant);
      case "video":
        return this.#see(change.slots);
      case "speakers":
        return [this.#levels(change.levels)];
      case "call_updated":
        return [this.#call(change.call)];
      case "dial_rights":
        return this.#dial(change.dial, change.calls);
    }
  }

  /** What a request of one's own changed, known from its `ok` before the server's event tells it. */
  patchMe(fields: Partial<Mutes & Pick<Participant, "handRaised">>): Change[] {
    return amend(this.me as Person, { ...this.me, ...fields });
  }

  setTracks({ slots, screen, video }: ReceivedTracks): Change[] {
    for (const slot of this.slots) slot.track = slots[slot.index] ?? slot.track;
    for (const slot of this.videoSlots) slot.receiver = video[slot.index] ?? slot.receiver;
    this.screen.track = screen;
    const changes: Change[] = [
      ["slots", this.slots],
      ["screen", this.screen],
    ];
    return this.videoSlots.length > 0 ? [...changes, ["video", this.videoSlots]] : changes;
  }

  #count(now: number): Change[] {
    if (now === this.participantCount) return [];
    this.participantCount = now;
    return [["participantcount", now]];
  }

  #join(wire: WireParticipant): Change[] {
    const joined = person(wire);
    this.participants.set(wire.id, joined);
    return [["participantjoined", joined]];
  }

  #leave(id: string, reason: LeaveReason | null): Change[] {
    const gone = this.participants.get(id);
    if (!gone || gone === this.me) return [];
    this.participants.delete(id);
    this.#loud.delete(gone);
    const changes: Change[] = [["participantleft", gone, reason]];
    // The server tells it too, but up to 100 ms later: nobody should find somebody in a slot who isn't in the room.
    if (vacate(this.slots, gone)) changes.push(["slots", this.slots]);
    if (vacate(this.videoSlots, gone)) changes.push(["video", this.videoSlots]);
    if (this.screen.participant === gone) changes.push(...this.#show(null));
    return changes;
  }

  #publish(id: string, track: WireTrack): Change[] {
    const owner = this.participants.get(id);
    if (!owner || owner.tracks.some((known) => known.id === track.id)) return [];
    return retrack(owner, [...owner.tracks, track]);
  }

  #seat(wires: readonly WireSlot[]): Change[] {
    return this.#occupy(this.slots, wires) ? [["slots", this.slots]] : [];
  }

  #see(wires: readonly WireVideoSlot[]): Change[] {
    const origins = new Map(wires.map(({ index, origin }) => [index, origin]));
    let changed = false;
    for (const slot of this.videoSlots) {
      const origin = origins.get(slot.index) ?? "camera";
      changed ||= slot.origin !== origin;
      slot.origin = origin;
    }
    const others = this.#occupy(this.videoSlots, wires);
    return changed || others ? [["video", this.videoSlots]] : [];
  }

  /** Whether somebody else is in one of the slots. The wire has all of them. */
  #occupy(slots: readonly Seat[], wires: readonly WireSlot[]): boolean {
    const ids = new Map(wires.map(({ index, participant }) => [index, participant]));
    let changed = false;
    for (const slot of slots) {
      const occupant = this.participants.get(ids.get(slot.index) ?? "") ?? null;
      changed ||= slot.participant !== occupant;
      slot.participant = occupant;
    }
    return changed;
  }

  #show(id: string | null): Change[] {
    const sharer = (id !== null && this.participants.get(id)) || null;
    if (this.screen.participant === sharer) return [];
    this.screen.participant = sharer;
    return [["screen", this.screen]];
  }

  /** All that is to be known of calls: what is missing has ended, unknown when it did. */
  #dial(rights: DialRights | null, wires: readonly WireCall[]): Change[] {
    const changes: Change[] = [];
    const isNews = JSON.stringify(rights) !== JSON.stringify(this.dialRights);
    this.dialRights = rights && { users: rights.users, trunks: rights.trunks };
    if (isNews) changes.push(["dialrights", this.dialRights]);
    if (!rights) {
      this.calls.clear();
      return changes;
    }
    const told = new Set(wires.map(({ call }) => call));
    for (const call of [...this.calls.values()]) if (!told.has(call.id)) changes.push(this.#endCall(call));
    for (const wire of wires) {
      const known = this.calls.get(wire.call);
      // What ended before one came is no news, nor is what stands as it did.
      if (known ? !sameCall(known, callOf(wire)) : wire.state !== "ended") changes.push(this.#call(wire));
    }
    return changes;
  }

  #call(wire: WireCall): Change {
    const call = Object.assign(this.calls.get(wire.call) ?? {}, callOf(wire));
    if (call.state === "ended") this.calls.delete(call.id);
    else this.calls.set(call.id, call);
    return ["call", call];
  }

  #endCall(call: Mutable<Call>): Change {
    this.calls.delete(call.id);
    return ["call", Object.assign(call, { state: "ended" as const, participant: null })];
  }

  #endAllCalls(): Change[] {
    return [...this.calls.values()].map((call) => this.#endCall(call));
  }

  #levels(wires: readonly { participant: string; level_dbov: number }[]): Change {
    const silent = this.#loud;
    this.#loud = new Set();
    const levels: SpeakerLevel[] = [];
    for (const { participant: id, level_dbov } of wires) {
      const speaker = this.participants.get(id);
      if (!speaker) continue;
      speaker.levelDbov = level_dbov;
      silent.delete(speaker);
      this.#loud.add(speaker);
      levels.push({ participant: speaker, levelDbov: level_dbov });
    }
    for (const speaker of silent) speaker.levelDbov = SILENCE_DBOV;
    return ["speakers", levels];
  }
}

class PictureSlot implements VideoSlot {
  participant: Participant | null = null;
  origin: PictureOrigin = "camera";
  receiver = undefined as unknown as RTCRtpReceiver;

  constructor(readonly index: number) {}

  get track(): MediaStreamTrack {
    return this.receiver.track;
  }

  get isShown(): boolean {
    if (!this.participant) return false;
    const { cameraSource, screenVideoSource } = this.participant;
    return isOf(this.receiver, this.origin === "camera" ? cameraSource : screenVideoSource);
  }
}

function slotAt(index: number): Mutable<Slot> {
  return { index, track: undefined as unknown as MediaStreamTrack, participant: null };
}

/** Whether they had one. */
function vacate(slots: readonly Seat[], gone: Participant): boolean {
  const seats = slots.filter(({ participant }) => participant === gone);
  for (const slot of seats) slot.participant = null;
  return seats.length > 0;
}

function person(wire: WireParticipant): Person {
  return {
    id: wire.id,
    name: wire.name,
    role: wire.role,
    transport: wire.transport,
    standing: wire.standing,
    muted: wire.muted,
    screenMuted: wire.screen_muted,
    cameraMuted: wire.camera_muted,
    screenVideoMuted: wire.screen_video_muted ?? false,
    handRaised: wire.hand_raised,
    source: wire.source,
    screenSource: wire.screen_source,
    cameraSource: wire.camera_source,
    screenVideoSource: wire.screen_video_source ?? 0,
    tracks: [...wire.tracks],
    levelDbov: SILENCE_DBOV,
  };
}

function callOf({ call: id, name, state, participant, reason, status }: WireCall): Call {
  return { id, name, state, participant, reason: reason ?? null, status: status ?? null };
}

function sameCall(one: Call, other: Call): boolean {
  return one.state === other.state && one.participant === other.participant;
}

function update(known: Person, wire: WireParticipant): Change[] {
  // Another node gives its own numbers.
  known.source = wire.source;
  known.screenSource = wire.screen_source;
  known.cameraSource = wire.camera_source;
  known.screenVideoSource = wire.screen_video_source ?? 0;
  return amend(known, {
    name: wire.name,
    role: wire.role,
    standing: wire.standing,
    muted: wire.muted,
    screenMuted: wire.screen_muted,
    cameraMuted: wire.camera_muted,
    screenVideoMuted: wire.screen_video_muted ?? false,
    handRaised: wire.hand_raised,
  });
}

function amend(known: Person, now: Pick<Participant, ParticipantField>): Change[] {
  const mutes = Object.values(MUTED);
  const fields: ParticipantField[] = ["name", "role", "standing", ...mutes, "handRaised"];
  const changed = new Set(fields.filter((field) => known[field] !== now[field]));
  if (changed.size === 0) return [];
  Object.assign(known, Object.fromEntries(fields.map((field) => [field, now[field]])));
  return [["participantupdated", known, changed]];
}

function retrack(owner: Person, tracks: readonly Track[]): Change[] {
  const has = (list: readonly Track[], { id }: Track) => list.some((track) => track.id === id);
  const ended = owner.tracks.filter((track) => !has(tracks, track));
  const begun = tracks.filter((track) => !has(owner.tracks, track));
  owner.tracks = [...tracks];
  return [
    ...ended.map((track): Change => ["trackunpublished", track, owner]),
    ...begun.map((track): Change => ["trackpublished", track, owner]),
  ];
}
