// @vitest-environment happy-dom
// What stands on the stage: one large or all in a grid, a screen before all others, and faces where nobody is seen.

import type { Participant, PictureOrigin, Room, RoomStats } from "@tercet/sdk";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Pictures } from "../src/views/pictures.js";

class FakeObserver {
  observe() {}
  disconnect() {}
}

let pictures: Pictures | null = null;

beforeEach(() => {
  vi.useFakeTimers();
  localStorage.clear();
  vi.stubGlobal("ResizeObserver", FakeObserver);
  vi.stubGlobal("IntersectionObserver", FakeObserver);
  vi.stubGlobal(
    "MediaStream",
    class {
      constructor(readonly tracks: unknown[]) {}
      getTracks = () => this.tracks;
    },
  );
  vi.spyOn(HTMLMediaElement.prototype, "play").mockResolvedValue();
  Object.defineProperty(HTMLMediaElement.prototype, "srcObject", {
    value: null,
    writable: true,
    configurable: true,
  });
});

afterEach(() => {
  pictures?.close();
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

function person(id: string, published: string[] = ["camera"]): Participant {
  const tracks = published.map((origin) => ({ id: `${id}-${origin}`, kind: "video", origin }));
  return { id, name: id.toUpperCase(), role: "speaker", muted: false, tracks } as unknown as Participant;
}

const [ANN, BEN, CYD] = [person("ann", ["camera", "screen_video"]), person("ben"), person("cyd", [])];

/** Of three slots; `see` puts people into them. */
function roomWith(participantCount = 4) {
  const slots = [0, 1, 2].map((index) => ({
    index,
    track: { id: `track-${index}` },
    participant: null as Participant | null,
    origin: "camera" as PictureOrigin,
    isShown: false,
  }));
  const room = {
    videoSlots: slots,
    videoTrack: null as unknown,
    watched: null as string | null,
    participantCount,
    view: async () => {},
    see: (...seen: (Participant | [Participant, PictureOrigin] | null)[]) => {
      slots.forEach((slot, index) => {
        const [participant, origin] = [seen[index] ?? null].flat() as [Participant | null, PictureOrigin?];
        Object.assign(slot, { participant, origin: origin ?? "camera" });
      });
      pictures?.update();
    },
  };
  return room;
}

function stageOf(
  room: ReturnType<typeof roomWith>,
  others: Participant[] = [],
  watch = vi.fn(),
): HTMLElement {
  pictures = new Pictures(
    room as unknown as Room,
    watch,
    () => others,
    () => {},
  );
  document.body.replaceChildren(pictures.element);
  return pictures.element;
}

const by = (stage: HTMLElement, testid: string) => [
  ...stage.querySelectorAll<HTMLElement>(`[data-testid="${testid}"]`),
];
const names = (stage: HTMLElement) =>
  [...stage.querySelectorAll(".tile:not([hidden]) .tile-name > span:last-child")].map((it) => it.textContent);
const large = (stage: HTMLElement) => stage.querySelector(".tile-large .tile-name")?.textContent;
const click = (stage: HTMLElement, testid: string) => by(stage, testid)[0]?.click();

test("it is hidden while nobody is seen, oneself included", () => {
  const room = roomWith();
  const stage = stageOf(room, [CYD]);
  expect(stage.hidden).toBe(true);
  room.videoTrack = { id: "own" };
  pictures?.update();
  expect([stage.hidden, names(stage)]).toEqual([false, ["You"]]);
  room.videoTrack = null;
  room.see(ANN);
  expect([stage.hidden, names(stage)]).toEqual([false, ["ANN"]]);
  room.see();
  expect(stage.hidden).toBe(true);
});

test("large is whoever is in the first slot, and nobody's element moves or is made anew", () => {
  const room = roomWith();
  const stage = stageOf(room);
  room.see(ANN, BEN);
  const [ann, ben] = by(stage, "video-slot");
  expect([names(stage), large(stage)]).toEqual([["ANN", "BEN"], "ANN"]);
  room.see(BEN, ANN);
  expect([names(stage), large(stage)]).toEqual([["ANN", "BEN"], "BEN"]);
  expect(by(stage, "video-slot")).toEqual([ann, ben]);
  expect(by(stage, "video-slot").map(({ dataset }) => dataset.index)).toEqual(["1", "0"]);
});

test("until the first frame that is theirs there is a face", async () => {
  const room = roomWith();
  const stage = stageOf(room);
  room.see(ANN);
  const [tile] = by(stage, "video-slot");
  expect([tile?.dataset.dark, tile?.querySelector(".tile-face")?.textContent]).toEqual(["true", "A"]);
  await vi.advanceTimersByTimeAsync(200);
  expect(tile?.dataset.dark).toBe("true");
  Object.assign(room.videoSlots[0] as object, { isShown: true });
  await vi.advanceTimersByTimeAsync(200);
  expect(tile?.dataset.dark).toBe("false");
  // Over another peer connection the track is another one.
  Object.assign(room.videoSlots[0] as object, { isShown: false, track: { id: "another" } });
  pictures?.update();
  expect(tile?.dataset.dark).toBe("true");
});

test("a grid has the others too, and says how many it has no room for", () => {
  const room = roomWith(40);
  const others = Array.from({ length: 20 }, (_, n) => person(`p${n}`, []));
  const stage = stageOf(room, [ANN, ...others]);
  room.see(ANN);
  expect(names(stage)).toEqual(["ANN"]);
  click(stage, "view-grid");
  expect(stage.querySelector(".tile-large")).toBeNull();
  const shown = names(stage).length;
  expect(shown).toBeGreaterThan(10);
  expect(by(stage, "more-people")[0]?.textContent).toBe(`+${39 - shown}others`);
  expect(by(stage, "video-slot")).toHaveLength(1);
  click(stage, "view-focus");
  expect(names(stage)).toEqual(["ANN"]);
});

test("the view is remembered, but a screen is large until one chooses otherwise", () => {
  const room = roomWith();
  const stage = stageOf(room);
  click(stage, "view-grid");
  const view = () => stage.querySelector<HTMLElement>(".tiles")?.dataset.view;
  room.see(BEN);
  expect(view()).toBe("grid");
  room.see([ANN, "screen_video"], ANN, BEN);
  expect([view(), large(stage)]).toEqual(["focus", "ANN’s screen"]);
  expect(names(stage)).toEqual(["BEN", "ANN’s screen", "ANN"]);
  click(stage, "view-grid");
  expect(view()).toBe("grid");
  stage.querySelector<HTMLElement>('[data-origin="screen_video"] .tile-watch')?.click();
  expect(view()).toBe("focus");
  room.see(ANN, BEN);
  expect(view()).toBe("grid");
});

test("a click chooses whom one sees large, and another one whoever speaks", () => {
  const room = roomWith();
  const watch = vi.fn();
  const stage = stageOf(room, [CYD], watch);
  click(stage, "view-grid");
  room.see(ANN);
  const [ann, cyd] = stage.querySelectorAll<HTMLButtonElement>(".tile-watch");
  expect([ann?.ariaLabel, ann?.hidden, cyd?.hidden]).toEqual(["Watch ANN", false, true]);
  ann?.click();
  expect(watch).toHaveBeenLastCalledWith("ann");
  expect(large(stage)).toBe("ANN");
  room.watched = "ann";
  pictures?.update();
  expect(ann?.ariaPressed).toBe("true");
  ann?.click();
  expect(watch).toHaveBeenLastCalledWith(null);
});

test("numbers stand over the pictures while they are wanted", () => {
  const room = roomWith();
  const stage = stageOf(room);
  room.see(ANN, BEN);
  const video = [
    {
      index: 1,
      participant: "ben",
      origin: "camera",
      width: 320,
      height: 180,
      framesPerSecond: 15,
      bitrateBps: 90_000,
      lossRatio: 0,
    },
  ];
  const stats = { video, sentVideo: [] } as unknown as RoomStats;
  const told = () =>
    by(stage, "tile-stats")
      .filter(({ hidden }) => !hidden)
      .map(({ textContent }) => textContent);
  pictures?.showStats(stats);
  expect(told()).toEqual([]);
  click(stage, "numbers");
  pictures?.showStats(stats);
  expect(told()).toEqual(["320×180 · 15 fps90 kbit/s · 0.0 % lost"]);
  click(stage, "numbers");
  expect(told()).toEqual([]);
});
