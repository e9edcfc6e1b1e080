// The browser's counters come in, what happened since the last look goes out.

import type { RoomStats, ScreenSlot, Slot, SlotStats } from "./api.js";

/** The counters of an `inbound-rtp` (W3C WebRTC statistics) that differences are taken of. */
interface Received {
  bytes: number;
  packets: number;
  lost: number;
  samples: number;
  concealed: number;
  concealments: number;
}

const NOTHING: Received = { bytes: 0, packets: 0, lost: 0, samples: 0, concealed: 0, concealments: 0 };

type Entry = Record<string, unknown>;

/** Measures one peer connection, from its beginning. */
export class StatsMeter {
  #at = performance.now();
  #sentBytes = 0;
  /** By the id of the track. */
  readonly #received = new Map<string, Received>();

  measure(report: RTCStatsReport, slots: readonly Slot[], screen: ScreenSlot): RoomStats {
    const now = performance.now();
    const intervalMs = Math.max(1, now - this.#at);
    this.#at = now;

    const entries = [...(report as unknown as Map<string, Entry>).values()];
    const inbound = entries.filter(({ type }) => type === "inbound-rtp");
    const measure = (slot: Slot) =>
      this.#slot(
        slot,
        inbound.find(({ trackIdentifier }) => trackIdentifier === slot.track.id),
        intervalMs,
      );
    const measuredSlots = slots.map(measure);
    const measured = [...measuredSlots, measure({ ...screen, index: slots.length })];
    const sentBytes = sum(entries.filter(({ type }) => type === "outbound-rtp").map((e) => bytes(e, "Sent")));
    const remote = entries.filter(({ type }) => type === "remote-inbound-rtp");
    const lossesOut = remote
      .map(({ fractionLost }) => fractionLost)
      .filter((lost) => typeof lost === "number");
    const stats: RoomStats = {
      intervalMs,
      bitrateInBps: sum(measured.map(({ bitrateBps }) => bitrateBps)),
      bitrateOutBps: perSecond(sentBytes - this.#sentBytes, intervalMs),
      lossRatio: ratio(sum(measured.map(({ lost }) => lost)), sum(measured.map(({ expected }) => expected))),
      lossOutRatio: lossesOut.length > 0 ? Math.max(...lossesOut) : null,
      jitterMs: Math.max(0, ...measured.map(({ jitterMs }) => jitterMs)),
      rttMs: roundTripMs(entries),
      slots: measuredSlots.map(({ lost: _lost, expected: _expected, ...slot }) => slot),
    };
    this.#sentBytes = sentBytes;
    return stats;
  }

  #slot(
    slot: Slot,
    entry: Entry | undefined,
    intervalMs: number,
  ): SlotStats & { lost: number; expected: number } {
    const now = entry ? received(entry) : NOTHING;
    const before = this.#received.get(slot.track.id) ?? NOTHING;
    this.#received.set(slot.track.id, now);
    // Late packets make the count of lost ones fall again.
    const lost = Math.max(0, now.lost - before.lost);
    const expected = now.packets - before.packets + lost;
    return {
      index: slot.index,
      participant: slot.participant?.id ?? null,
      bitrateBps: perSecond(now.bytes - before.bytes, intervalMs),
      lossRatio: ratio(lost, expected),
      // The estimate of a slot that receives nothing is an old one.
      jitterMs: expected > 0 ? number(entry, "jitter") * 1000 : 0,
      concealmentRatio: ratio(now.concealed - before.concealed, now.samples - before.samples),
      concealmentEvents: Math.max(0, now.concealments - before.concealments),
      lost,
      expected,
    };
  }
}

function received(entry: Entry): Received {
  return {
    bytes: bytes(entry, "Received"),
    packets: number(entry, "packetsReceived"),
    lost: number(entry, "packetsLost"),
    samples: number(entry, "totalSamplesReceived"),
    concealed: number(entry, "concealedSamples") - number(entry, "silentConcealedSamples"),
    concealments: number(entry, "concealmentEvents"),
  };
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
