// The small parts: waiting times, addresses, session descriptions, measurements.

import { expect, test, vi } from "vitest";
import { backoffMs, Pause } from "../src/backoff.js";
import { Emitter } from "../src/emitter.js";
import { withDtx } from "../src/sdp.js";
import { socketUrl } from "../src/signalling.js";
import { StatsMeter } from "../src/stats.js";
import { fakeTrack } from "./fakes.js";

test("the backoff doubles from 250 ms to 5 s, and half of it is random", () => {
  const longest = [0, 1, 2, 3, 4, 5, 50].map((attempt) => backoffMs(attempt, () => 1));
  expect(longest).toEqual([250, 500, 1000, 2000, 4000, 5000, 5000]);
  expect(backoffMs(1, () => 0)).toBe(250);
});

test("a pause can be cut short", async () => {
  const pause = new Pause();
  const waiting = pause.wait(60_000);
  pause.cut();
  await waiting;
});

test("the WebSocket is below the base URL of either scheme", () => {
  expect(socketUrl("http://h:8080")).toBe("ws://h:8080/v1/ws");
  expect(socketUrl("https://h/tercet/?room=a")).toBe("wss://h/tercet/v1/ws");
  expect(socketUrl("wss://h/")).toBe("wss://h/v1/ws");
});

test("a handler that throws doesn't keep the next from being called", () => {
  vi.stubGlobal("reportError", vi.fn());
  const emitter = new Emitter<{ a: [n: number] }>();
  const second = vi.fn();
  emitter.on("a", () => {
    throw new Error("mine");
  });
  const unsubscribe = emitter.on("a", second);
  emitter.emit("a", 1);
  unsubscribe();
  emitter.emit("a", 2);
  expect(second).toHaveBeenCalledExactlyOnceWith(1);
  vi.unstubAllGlobals();
});

test("DTX is asked for on the microphone's m-line, and only there", () => {
  const section = "m=audio 9 X 111\r\na=rtpmap:111 opus/48000/2\r\na=fmtp:111 minptime=10\r\n";
  const [head, sending, receiving] = withDtx(`v=0\r\n${section}${section}`).split("m=audio");
  expect(head).toBe("v=0\r\n");
  expect(sending).toContain("a=fmtp:111 minptime=10;usedtx=1\r\n");
  expect(receiving).not.toContain("usedtx");
  expect(withDtx("m=audio 9 X 96\r\na=rtpmap:96 opus/48000/2\r\n")).toContain("a=fmtp:96 usedtx=1\r\n");
});

test("measurements are differences since the previous ones", () => {
  vi.useFakeTimers();
  const slot = { index: 0, track: fakeTrack(), participant: null };
  const screen = { track: fakeTrack(), participant: null };
  const report = (packets: number, lost: number, concealed: number) =>
    new Map<string, object>([
      ["t", { type: "transport", selectedCandidatePairId: "p" }],
      ["p", { type: "candidate-pair", id: "p", currentRoundTripTime: 0.025 }],
      [
        "i",
        {
          type: "inbound-rtp",
          trackIdentifier: slot.track.id,
          bytesReceived: packets * 100,
          packetsReceived: packets,
          packetsLost: lost,
          jitter: 0.004,
          totalSamplesReceived: packets * 960,
          concealedSamples: concealed,
          concealmentEvents: lost,
        },
      ],
    ]) as unknown as RTCStatsReport;
  const meter = new StatsMeter();
  const room = { slots: [slot], screen, videoSlots: [] };
  vi.advanceTimersByTime(1000);
  meter.measure(report(50, 0, 0), room, new Map());
  vi.advanceTimersByTime(1000);
  const stats = meter.measure(report(90, 10, 960), room, new Map());
  expect(stats.slots).toHaveLength(1);
  expect(stats.bitrateInBps).toBeCloseTo(40 * 800);
  expect(stats.lossRatio).toBeCloseTo(0.2);
  expect(stats.rttMs).toBeCloseTo(25);
  expect(stats.jitterMs).toBeCloseTo(4);
  expect(stats.slots[0]?.concealmentRatio).toBeCloseTo(1 / 40);
  expect(stats.slots[0]?.concealmentEvents).toBe(10);
  vi.useRealTimers();
});
