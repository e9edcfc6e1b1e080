// What a room tells by events, as values: they are new objects where something changed, and the same ones where nothing did.

import { useMemo, useSyncExternalStore } from "react";
import type { Participant, PictureOrigin, Room, RoomEvents, SpeakerLevel } from "../tercet.js";

/** What a video slot shows. */
export interface SeenSlot {
  readonly index: number;
  readonly participant: Participant | null;
  readonly origin: PictureOrigin;
  readonly track: MediaStreamTrack;
}

/** What is read of a room, and after which events it may be another. */
interface Reading<T> {
  events: readonly (keyof RoomEvents)[];
  read(room: Room): readonly T[];
}

const PEOPLE: Reading<Participant> = {
  events: [
    "participantjoined",
    "participantupdated",
    "participantleft",
    "trackpublished",
    "trackunpublished",
  ],
  read: ({ participants }) => [...participants.values()].map(copyOf),
};

const SEEN: Reading<SeenSlot> = {
  events: ["video", "participantupdated"],
  read: ({ videoSlots }) =>
    videoSlots.map(({ index, participant, origin, track }) => ({
      index,
      participant: participant && copyOf(participant),
      origin,
      track,
    })),
};

const SPEAKERS: Reading<SpeakerLevel> = {
  events: ["speakers"],
  read: ({ participants }) =>
    [...participants.values()]
      .filter(({ levelDbov }) => levelDbov > SILENCE_DBOV)
      .map((participant) => ({ participant: copyOf(participant), levelDbov: participant.levelDbov })),
};

const SILENCE_DBOV = -127;
const NONE: readonly never[] = [];

/** Everybody who is listed, oneself included. Their `levelDbov` is an old one: `useSpeakers` has it. */
export function useParticipants(room: Room | null): readonly Participant[] {
  return useReading(room, PEOPLE);
}

/** Who is seen in which slot. */
export function useVideoSlots(room: Room | null): readonly SeenSlot[] {
  return useReading(room, SEEN);
}

/** Who speaks, and how loud: up to ten times a second. */
export function useSpeakers(room: Room | null): readonly SpeakerLevel[] {
  return useReading(room, SPEAKERS);
}

function useReading<T>(room: Room | null, { events, read }: Reading<T>): readonly T[] {
  const store = useMemo(() => {
    let value = room ? read(room) : NONE;
    return {
      get: () => value,
      subscribe: (changed: () => void) => {
        if (!room) return () => {};
        const look = () => {
          value = read(room);
          changed();
        };
        // What was told before anybody listened.
        value = read(room);
        const endings = events.map((event) => room.on(event, look));
        return () => {
          for (const end of endings) end();
        };
      },
    };
  }, [room, events, read]);
  return useSyncExternalStore(store.subscribe, store.get, store.get);
}

const copies = new WeakMap<Participant, Participant>();

/** As they are now. The room changes its own objects in place, which no component would notice. */
function copyOf(participant: Participant): Participant {
  const known = copies.get(participant);
  const fields = Object.keys(participant) as (keyof Participant)[];
  const isSame = fields.every((field) => field === "levelDbov" || known?.[field] === participant[field]);
  if (known && isSame) return known;
  const copy = Object.freeze({ ...participant });
  copies.set(participant, copy);
  return copy;
}
