// Whether one's microphone, the sound of one's screen, or one's camera is open: what was asked for comes in, and what the room
// holds.
//
// What closes doesn't wait for the server, what opens does. Requests may overlap, and a reply belongs to its own request: only
// that to the latest ends the wish, an earlier one's says nothing about what is wanted now.

import { TercetError } from "./api.js";

export class Muting {
  #latest = 0;
  #wish: boolean | null = null;

  /** Takes down a wish, which replaces an earlier one. The number tells its request from the others. */
  ask(muted: boolean): number {
    this.#wish = muted;
    return ++this.#latest;
  }

  isLatest(request: number): boolean {
    return request === this.#latest;
  }

  /** The request was granted or refused: what the room holds is what counts, unless another was made meanwhile. */
  settle(request: number): void {
    if (this.isLatest(request)) this.#wish = null;
  }

  /** A moderator's mute closes the microphone too; only a request of one's own that was granted opens it again. */
  isOpen(mutedInRoom: boolean): boolean {
    return !mutedInRoom && this.#wish !== true;
  }
}

/**
 * Whether an unmute that a reconnect delayed has still to be sent. It was meant for the state `before`, in which it
 * was asked for: a mute that came since is a moderator's, and throws; without one it was granted already.
 */
export function isUnmuteDue(before: boolean, now: boolean): boolean {
  if (now === before) return true;
  if (now) throw new TercetError("outdated", "you were muted while the connection was broken");
  return false;
}
