// How high the video slots are drawn: what is asked of the server, how often, and again after a loss.

import { expect, test, vi } from "vitest";
import { observeView } from "../src/observing.js";
import { joined, resumed } from "./entering.js";
import { answer, FakeSocket, playWithFakes, settle, welcome } from "./fakes.js";

playWithFakes();

const views = () => FakeSocket.last.sent.filter(({ type }) => type === "view").map(({ slots }) => slots);

test("heights are told at once, then four times a second, and the last ones win", async () => {
  const room = await joined({ video: true });
  const first = room.view({ 1: 90, 0: 719.6 });
  await settle();
  expect(views()).toEqual([
    [
      { index: 0, height: 720 },
      { index: 1, height: 90 },
    ],
  ]);
  FakeSocket.last.ok("view");
  await first;
  const later = [100, 200, 300].map((height) => room.view(new Map([[0, height]])));
  await vi.advanceTimersByTimeAsync(249);
  expect(views()).toHaveLength(1);
  await vi.advanceTimersByTimeAsync(1);
  expect(views().slice(1)).toEqual([[{ index: 0, height: 300 }]]);
  FakeSocket.last.ok("view");
  await Promise.all(later);
});

test("what didn't change isn't told", async () => {
  const room = await joined({ video: true });
  const told = room.view({ 0: 720 });
  await settle();
  FakeSocket.last.ok("view");
  await told;
  await vi.advanceTimersByTimeAsync(1_000);
  await room.view({ 0: 720.2 });
  expect(views()).toHaveLength(1);
});

test("a resumed session is told again, and what was asked for meanwhile once", async () => {
  const room = await joined({ video: true });
  const told = room.view({ 0: 720 });
  await settle();
  FakeSocket.last.ok("view");
  await told;
  FakeSocket.last.drop();
  await vi.advanceTimersByTimeAsync(250);
  await resumed();
  expect(views()).toEqual([[{ index: 0, height: 720 }]]);

  FakeSocket.last.drop();
  const meanwhile = [room.view({ 0: 300 })];
  await vi.advanceTimersByTimeAsync(260);
  meanwhile.push(room.view({ 0: 200 }));
  await vi.advanceTimersByTimeAsync(260);
  await resumed();
  expect(new Set(views().map((slots) => JSON.stringify(slots)))).toEqual(
    new Set(['[{"index":0,"height":200}]']),
  );
  FakeSocket.last.ok("view");
  await Promise.all(meanwhile);
});

test("another node is told before its media stands", async () => {
  const TWO = "https://two.example.org";
  const room = await joined({ video: true, url: "https://one.example.org" }, undefined, { nodes: [TWO] });
  const told = room.view({ 0: 720 });
  await settle();
  FakeSocket.last.ok("view");
  await told;
  FakeSocket.last.say({ type: "closing", deadline_ms: 9_000, nodes: [TWO] });
  await vi.advanceTimersByTimeAsync(2_000);
  FakeSocket.last.open();
  FakeSocket.last.reply("join", welcome());
  await settle();
  expect(views()).toEqual([[{ index: 0, height: 720 }]]);
  FakeSocket.last.reply("offer", answer());
});

test("a refusal is told to whoever asked, and the same may be asked again", async () => {
  const room = await joined({ video: true });
  const refused = room.view({ 0: 720 });
  await settle();
  FakeSocket.last.reply("view", { type: "error", code: "bad_message", message: "what?", fatal: false });
  await expect(refused).rejects.toMatchObject({ code: "bad_message" });
  const again = room.view({ 0: 720 });
  await vi.advanceTimersByTimeAsync(250);
  FakeSocket.last.ok("view");
  await again;
  expect(views()).toHaveLength(2);
});

test("elements that are observed tell how high they are drawn, and nothing where they can't be seen", async () => {
  const page = new FakePage();
  const heights: unknown[] = [];
  const observe = observeView({
    view: async (now) => void heights.push(Object.fromEntries(now as ReadonlyMap<number, number>)),
  });
  const [large, small, another] = [page.element(), page.element(), page.element()];
  const end = observe(large as unknown as HTMLElement, 0);
  const endSmall = observe(small as unknown as HTMLElement, 1);
  const changes = async (change: () => void) => {
    change();
    await vi.advanceTimersByTimeAsync(60);
    return heights.splice(0);
  };
  expect(await changes(() => large.drawn(360))).toEqual([{ 0: 720 }]);
  expect(await changes(() => [large.drawn(300), small.drawn(45)])).toEqual([{ 0: 600, 1: 90 }]);
  expect(await changes(() => small.inSight(false))).toEqual([{ 0: 600, 1: 0 }]);
  expect(await changes(() => page.seen("hidden"))).toEqual([{ 0: 0, 1: 0 }]);
  // Where the browser floats it above other pages, it is seen all the same.
  expect(await changes(() => large.floats({ height: 200 }))).toEqual([{ 0: 400, 1: 0 }]);
  expect(await changes(() => large.dispatchEvent(new Event("leavepictureinpicture")))).toEqual([
    { 0: 0, 1: 0 },
  ]);
  expect(await changes(() => page.seen("visible"))).toEqual([{ 0: 600, 1: 0 }]);
  // The largest of a slot's elements counts, and a slot that nothing shows any more can't be seen.
  const endAnother = observe(another as unknown as HTMLElement, 1);
  expect(await changes(() => another.drawn(100))).toEqual([{ 0: 600, 1: 200 }]);
  expect(await changes(() => [endAnother(), endSmall(), end()])).toEqual([{ 0: 0, 1: 0 }]);
  expect(page.observers).toBe(0);
});

/** A window of twice as many pixels, and what it tells of the elements in it. */
class FakePage extends EventTarget {
  visibilityState = "visible";
  observers = 0;
  readonly #targets = new Map<unknown, ((entries: object[]) => void)[]>();

  seen(state: string): void {
    this.visibilityState = state;
    this.dispatchEvent(new Event("visibilitychange"));
  }

  element() {
    const tell = (which: number, entry: object) => this.#targets.get(element)?.[which]?.([entry]);
    const element = Object.assign(new EventTarget(), {
      ownerDocument: Object.assign(this, { defaultView: this.#window }),
      drawn: (height: number) => tell(0, { contentRect: { height } }),
      inSight: (isIntersecting: boolean) => tell(1, { isIntersecting }),
      floats: (pictureInPictureWindow: object) =>
        element.dispatchEvent(Object.assign(new Event("enterpictureinpicture"), { pictureInPictureWindow })),
    });
    return element;
  }

  get #window() {
    const page = this;
    class Observer {
      constructor(readonly told: (entries: object[]) => void) {}
      observe(target: unknown): void {
        page.observers++;
        page.#targets.set(target, [...(page.#targets.get(target) ?? []), this.told]);
      }
      disconnect(): void {
        page.observers--;
      }
    }
    return { devicePixelRatio: 2, ResizeObserver: Observer, IntersectionObserver: Observer };
  }
}
