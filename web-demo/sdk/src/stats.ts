// The browser's counters come in, what happened since the last look goes out.

import type {
  PictureOrigin,
  Room,
  RoomStats,
  SentVideoStats,
  Slot,
  SlotStats,
  VideoSlot,
  VideoSlotStats,
} from "./api.js";

/** The counters of an `inbound-rtp` (W3C WebRTC statistics) that differences are taken of. */
const COUNTERS = {
  bytes: (entry: Entry) => bytes(entry, "Received"),
  packets: (entry: Entry) => number(entry, "packetsReceived"),
  lost: (entry: Entry) => number(entry, "packetsLost"),
  samples: (entry: Entry) => number(entry, "totalSamplesReceived"),
  concealed: (entry: Entry) => number(entry, "concealedSamples") - number(entry, "silentConcealedSamples"),
  concealments: (entry: Entry) => number(entry, "concealmentEvents"),
  frames: (entry: Entry) => number(entry, "framesDecoded"),
  freezes: (entry: Entry) => number(entry, "freezeCount"),
  frozenS: (entry: Entry) => number(entry, "totalFreezesDuration"),
};

type Counts = Record<keyof typeof COUNTERS, number>;

type Entry = Record<string, unknown>;

/** What happened on one track since the last look. */
interface Received extends Counts {
  expected: number;
  entry: Entry;
}

/** Measures one peer connection, from its beginning. */
export class StatsMeter {
  #at = performance.now();
  #sentBytes = 0;
  /** By the id of the track. */
  readonly #counted = new Map<string, Counts>();
  /** Of the pictures that are sent, by the id of the entry. */
  readonly #sentPictures = new Map<string, { bytes: number; frames: number }>();

  /** `pictures`: by the mids of their lines, those that are sent. */
  measure(
    report: RTCStatsReport,
    { slots, screen, videoSlots }: Pick<Room, "slots" | "screen" | "videoSlots">,
    pictures: ReadonlyMap<string, PictureOrigin>,
  ): RoomStats {
    const now = performance.now();
    const intervalMs = Math.max(1, now - this.#at);
    this.#at = now;

    const entries = [...(report as unknown as Map<string, Entry>).values()];
    const inbound = entries.filter(({ type }) => type === "inbound-rtp");
    const look = ({ track }: { track: MediaStreamTrack }) =>
      this.#received(
        track.id,
        inbound.find(({ trackIdentifier }) => trackIdentifier === track.id),
      );
    const voices = slots.map((slot) => ({ slot, received: look(slot) }));
    const sound = look(screen);
    const seen = videoSlots.map((slot) => ({ slot, received: look(slot) }));
    const audio = [...voices.map(({ received }) => received), sound];
    const all = [...audio, ...seen.map(({ received }) => received)];
    const sentBytes = sum(entries.filter(({ type }) => type === "outbound-rtp").map((e) => bytes(e, "Sent")));
    const remote = entries.filter(({ type }) => type === "remote-inbound-rtp");
    const lossesOut = remote
      .map(({ fractionLost }) => fractionLost)
      .filter((lost) => typeof lost === "number");
    const stats: RoomStats = {
      intervalMs,
      bitrateInBps: perSecond(sum(all.map((it) => it.bytes)), intervalMs),
      bitrateOutBps: perSecond(sentBytes - this.#sentBytes, intervalMs),
      lossRatio: ratio(sum(all.map(({ lost }) => lost)), sum(all.map(({ expected }) => expected))),
      lossOutRatio: lossesOut.length > 0 ? Math.max(...lossesOut) : null,
      jitterMs: Math.max(0, ...audio.map(jitterMsOf)),
      rttMs: roundTripMs(entries),
      slots: voices.map(({ slot, received }) => voiceStats(slot, received, intervalMs)),
      video: seen.map(({ slot, received }) => pictureStats(slot, received, intervalMs)),
      sentVideo: this.#sent(entries, pictures, intervalMs),
    };
    this.#sentBytes = sentBytes;
    return stats;
  }

  #sent(
    entries: readonly Entry[],
    pictures: ReadonlyMap<string, PictureOrigin>,
    intervalMs: number,
  ): SentVideoStats[] {
    return entries.flatMap((entry) => {
      const origin = pictures.get(String(entry.mid));
      if (entry.type !== "outbound-rtp" || !origin) return [];
      const key = String(entry.id);
      const now = { bytes: bytes(entry, "Sent"), frames: number(entry, "framesEncoded") };
      const before = this.#sentPictures.get(key) ?? { bytes: 0, frames: 0 };
      this.#sentPictures.set(key, now);
      const stats = {
        origin,
        rid: typeof entry.rid === "string" ? entry.rid : null,
        bitrateBps: perSecond(now.bytes - before.bytes, intervalMs),
        framesPerSecond: Math.max(0, ((now.frames - before.frames) * 1000) / intervalMs),
        width: number(entry, "frameWidth"),
        height: number(entry, "frameHeight"),
      };
      return [stats];
    });
  }

  #received(trackId: string, entry: Entry = {}): Received {
    const names = Object.keys(COUNTERS) as (keyof Counts)[];
    const now = Object.fromEntries(names.map((name) => [name, COUNTERS[name](entry)])) as Counts;
    const before = this.#counted.get(trackId);
    this.#counted.set(trackId, now);
    const difference = (name: keyof Counts) => now[name] - (before?.[name] ?? 0);
    const counts = Object.fromEntries(names.map((name) => [name, difference(name)])) as Counts;
    // Late packets make the count of lost ones fall again.
    const lost = Math.max(0, counts.lost);
    return { ...counts, lost, expected: counts.packets + lost, entry };
  }
}

function voiceStats({ index, participant }: Slot, received: Received, intervalMs: number): SlotStats {
  return {
    index,
    participant: participant?.id ?? null,
    bitrateBps: perSecond(received.bytes, intervalMs),
    lossRatio: ratio(received.lost, received.expected),
    jitterMs: jitterMsOf(received),
    concealmentRatio: ratio(received.concealed, received.samples),
    concealmentEvents: Math.max(0, received.concealments),
  };
}

function pictureStats(
  { index, participant, origin }: VideoSlot,
  received: Received,
  intervalMs: number,
): VideoSlotStats {
  return {
    index,
    participant: participant?.id ?? null,
    origin,
    bitrateBps: perSecond(received.bytes, intervalMs),
    lossRatio: ratio(received.lost, received.expected),
    framesPerSecond: Math.max(0, (received.frames * 1000) / intervalMs),
    width: number(received.entry, "frameWidth"),
    height: number(received.entry, "frameHeight"),
    freezes: Math.max(0, received.freezes),
    freezeMs: Math.max(0, received.frozenS * 1000),
  };
}

/** The estimate of a slot that receives nothing is an old one. */
function jitterMsOf({ expected, entry }: Received): number {
  return expected > 0 ? number(entry, "jitter") * 1000 : 0;
}

/** Of the pair of candidates in use; where no transport says which that is, of the one that succeeded. */
function roundTripMs(entries: readonly Entry[]): number | null {
  const selected = entries.find(({ type }) => type === "transport")?.selectedCandidatePairId;
  const pairs = entries.filter(({ type }) => type === "candidate-pair");
  const pair =
    pairs.find(({ id }) => id === selected) ??
    pairs.find(({ nominated, state }) => nominated && state === "succeeded");
  return typeof pair?.currentRoundTripTime === "number" ? pair.currentRoundTripTime * 1000 : null;
}

function bytes(entry: Entry, direction: "Sent" | "Received"): number {
  return number(entry, `bytes${direction}`) + number(entry, `headerBytes${direction}`);
}

function number(entry: Entry | undefined, name: string): number {
  const value = entry?.[name];
  return typeof value === "number" ? value : 0;
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

function ratio(part: number, whole: number): number {
  return whole > 0 ? Math.min(1, Math.max(0, part / whole)) : 0;
}

function perSecond(byteCount: number, intervalMs: number): number {
  return Math.max(0, (byteCount * 8000) / intervalMs);
}
