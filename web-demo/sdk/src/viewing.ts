// How high each video slot is drawn, so that no more is sent than is looked at: heights come in as often as they change,
// requests go out a few times a second, the last one wins.

import type { Heights } from "./api.js";
import type { Request, WireView } from "./wire.js";

/** Whoever drags the edge of a window changes all of them with each frame. */
const PERIOD_MS = 250;

/** Resolves when it is granted, or isn't due any more. */
type Ask = (request: Request, isDue: () => boolean) => Promise<void>;

export class Viewing {
  readonly #ask: Ask;
  #slots: WireView[] = [];
  #asked = "[]";
  #askedAt = Number.NEGATIVE_INFINITY;
  #waiting: Promise<void> | null = null;

  constructor(ask: Ask) {
    this.#ask = ask;
  }

  /** As they are now, by index. */
  get slots(): readonly WireView[] {
    return this.#slots;
  }

  /** Resolves when these, or others that replaced them meanwhile, are granted. */
  view(heights: Heights): Promise<void> {
    this.#slots = slotsOf(heights);
    this.#waiting ??= this.#askInTime();
    return this.#waiting;
  }

  async #askInTime(): Promise<void> {
    const waitMs = this.#askedAt + PERIOD_MS - performance.now();
    await new Promise<void>((resolve) => (waitMs > 0 ? setTimeout(resolve, waitMs) : resolve()));
    this.#waiting = null;
    const asked = JSON.stringify(this.#slots);
    if (asked === this.#asked) return;
    this.#asked = asked;
    this.#askedAt = performance.now();
    try {
      await this.#ask({ type: "view", slots: this.#slots }, () => asked === this.#asked);
    } catch (error) {
      if (asked === this.#asked) this.#asked = "";
      throw error;
    }
  }
}

function slotsOf(heights: Heights): WireView[] {
  const entries = heights instanceof Map ? [...heights] : Object.entries(heights);
  const slots = entries.map(([index, height]) => ({
    index: Number(index),
    height: Math.max(0, Math.round(height)),
  }));
  return slots.sort((a, b) => a.index - b.index);
}
