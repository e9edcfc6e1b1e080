// Welcomes that nobody looked at yet are kept up to date: a change comes in, what a welcome would say after it goes out.

import type { RoomChange, Welcome, WireParticipant } from "./wire.js";

/** What a welcome would say after a change. */
export function welcomeAfter(welcome: Welcome, change: RoomChange): Welcome {
  const of = (id: string, now: (it: WireParticipant) => WireParticipant) => ({
    ...welcome,
    participants: welcome.participants.map((it) => (it.id === id ? now(it) : it)),
  });
  const listed = (participants: WireParticipant[]) => {
    const listsAll = welcome.participant_count <= welcome.participants.length;
    const count = listsAll ? participants.length : Math.max(participants.length, welcome.participant_count);
    return { ...welcome, participants, participant_count: count };
  };
  const without = (id: string) => welcome.participants.filter((it) => it.id !== id);
  switch (change.type) {
    case "participant_joined":
    case "participant_updated":
      return listed([...without(change.participant.id), change.participant]);
    case "participant_left":
      return listed(without(change.participant));
    case "attendance":
      return { ...welcome, participant_count: change.participant_count };
    case "track_published":
      return of(change.participant, (it) => ({
        ...it,
        tracks: [...it.tracks.filter(({ id }) => id !== change.track.id), change.track],
      }));
    case "track_unpublished":
      return of(change.participant, (it) => ({
        ...it,
        tracks: it.tracks.filter(({ id }) => id !== change.track),
      }));
    case "slots":
      return { ...welcome, slots: change.slots };
    case "video":
      return { ...welcome, video: change.slots };
    case "screen":
      return { ...welcome, screen: change.participant };
    case "call_updated": {
      const others = (welcome.calls ?? []).filter(({ call }) => call !== change.call.call);
      return { ...welcome, calls: [...others, change.call] };
    }
    case "dial_rights": {
      const { dial: _, ...rest } = welcome;
      return { ...rest, ...(change.dial && { dial: change.dial }), calls: change.calls };
    }
    default:
      return welcome;
  }
}
