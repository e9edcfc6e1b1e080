import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Voice } from "../src/voice.js";

/** The browser's question, to be answered by the test. */
const questions: ((track: object) => void)[] = [];
const opened: { stop: ReturnType<typeof vi.fn> }[] = [];

beforeEach(() => {
  const getUserMedia = () =>
    new Promise((resolve) => {
      questions.push((track) => resolve({ getTracks: () => [track] }));
    });
  vi.stubGlobal("navigator", { mediaDevices: { getUserMedia } });
  vi.stubGlobal("localStorage", { getItem: () => null, setItem: () => {} });
});

afterEach(() => {
  vi.unstubAllGlobals();
  questions.length = 0;
  opened.length = 0;
});

function allow(question: number): void {
  const track = { stop: vi.fn(), onended: null };
  opened.push(track);
  questions[question]?.(track);
}

const voice = () => new Voice({ toneHz: null, gain: 1 });

test("a microphone that is allowed after leaving is closed at once", async () => {
  const own = voice();
  const opening = own.open("");
  own.releaseAll();
  allow(0);
  expect(await opening).toBeNull();
  expect(opened[0]?.stop).toHaveBeenCalled();
  expect(own.track).toBeNull();
});

test("of two that were asked for only the later one stays open", async () => {
  const own = voice();
  const [first, second] = [own.open("a"), own.open("b")];
  allow(1);
  allow(0);
  expect(await first).toBeNull();
  expect(await second).toBe(own.track);
  expect(opened.map(({ stop }) => stop.mock.calls.length)).toEqual([0, 1]);
});

test("leaving ends every track that is open", async () => {
  const own = voice();
  for (const n of [0, 1]) {
    const opening = own.open("");
    allow(n);
    await opening;
  }
  own.releaseAll();
  expect(opened.every(({ stop }) => stop.mock.calls.length === 1)).toBe(true);
});
