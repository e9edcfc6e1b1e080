// What can be seen of the video slots: the elements that show them come in, and how high they are drawn goes to the room. What
// is scrolled away, hidden, or in a page that nobody looks at has no height.

import type { Room } from "./api.js";

/** Many elements change with one frame, and are told together. */
const GATHER_MS = 50;

type Viewer = Pick<Room, "view">;

/**
 * Returns a function that observes an element which shows the slot of that index, and returns how to end that. Of a slot that
 * several elements show, the largest counts; one that was observed and is no more can't be seen.
 */
export function observeView(room: Viewer): (element: HTMLElement, index: number) => () => void {
  const seen = new Map<number, Set<Sight>>();
  let isTelling = false;

  const tell = () => {
    isTelling = false;
    const heights = new Map<number, number>();
    for (const [index, sights] of seen) {
      const known = [...sights].flatMap(({ height }) => height ?? []);
      if (known.length > 0 || sights.size === 0) heights.set(index, Math.max(0, ...known));
    }
    // A room that is closed has no use for it, and a server may not.
    room.view(heights).catch(() => {});
  };
  const tellSoon = () => {
    if (!isTelling) setTimeout(tell, GATHER_MS);
    isTelling = true;
  };

  return (element, index) => {
    const sights = seen.get(index) ?? new Set();
    seen.set(index, sights);
    const sight = new Sight(element, tellSoon);
    sights.add(sight);
    return () => {
      sight.end();
      if (sights.delete(sight)) tellSoon();
    };
  };
}

/** One element, in whichever window it is. */
class Sight {
  readonly #element: HTMLElement;
  readonly #window: Window & typeof globalThis;
  readonly #endings: (() => void)[] = [];
  /** In pixels of CSS; `null` before the browser said it. */
  #drawn: number | null = null;
  #isInSight = true;
  /** The small window into which the browser took its picture. */
  #floating: PictureInPictureWindow | null = null;

  constructor(element: HTMLElement, changed: () => void) {
    this.#element = element;
    this.#window = element.ownerDocument.defaultView ?? window;
    const { ResizeObserver, IntersectionObserver } = this.#window;
    const size = new ResizeObserver(([entry]) => {
      this.#drawn = entry?.contentRect.height ?? 0;
      changed();
    });
    size.observe(element);
    const sight = new IntersectionObserver((entries) => {
      this.#isInSight = entries.at(-1)?.isIntersecting ?? true;
      changed();
    });
    sight.observe(element);
    this.#endings.push(
      () => size.disconnect(),
      () => sight.disconnect(),
    );
    this.#on(element.ownerDocument, "visibilitychange", changed);
    this.#on(element, "enterpictureinpicture", (event) => {
      this.#floating = (event as PictureInPictureEvent).pictureInPictureWindow;
      this.#floating.onresize = changed;
      changed();
    });
    this.#on(element, "leavepictureinpicture", () => {
      this.#floating = null;
      changed();
    });
  }

  /** In physical pixels; `null` while it isn't known. */
  get height(): number | null {
    const ratio = this.#window.devicePixelRatio;
    if (this.#floating) return this.#floating.height * ratio;
    if (this.#drawn === null) return null;
    const isSeen = this.#isInSight && this.#element.ownerDocument.visibilityState === "visible";
    return isSeen ? this.#drawn * ratio : 0;
  }

  end(): void {
    for (const end of this.#endings.splice(0)) end();
  }

  #on(target: EventTarget, event: string, handler: (event: Event) => void): void {
    target.addEventListener(event, handler);
    this.#endings.push(() => target.removeEventListener(event, handler));
  }
}
