// Frames of a video slot come in; out goes when they are of whom the slot shows: nobody's face is seen under another's name.

import type { VideoSlot } from "@tercet/sdk";

/** How often a browser is asked that doesn't tell of frames. */
const LOOK_MS = 100;

/** A `<video>`, as far as it concerns. */
interface Screen {
  requestVideoFrameCallback?(look: () => void): unknown;
}

export class Curtain {
  readonly #screen: Screen;
  readonly #slot: Pick<VideoSlot, "isShown">;
  readonly #opened: () => void;
  #isClosed = false;
  #isOver = false;

  constructor(screen: Screen, slot: Pick<VideoSlot, "isShown">, opened: () => void) {
    this.#screen = screen;
    this.#slot = slot;
    this.#opened = opened;
  }

  /** Somebody else is to be seen: it opens with a frame of theirs. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#wait();
  }

  end(): void {
    this.#isOver = true;
  }

  #wait(): void {
    const look = () => this.#look();
    if (this.#screen.requestVideoFrameCallback) this.#screen.requestVideoFrameCallback(look);
    else setTimeout(look, LOOK_MS);
  }

  #look(): void {
    if (this.#isOver) return;
    if (this.#slot.isShown) {
      this.#isClosed = false;
      this.#opened();
    } else {
      this.#wait();
    }
  }
}
