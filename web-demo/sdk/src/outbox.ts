// Reliable messages on their way to a data channel. What comes in waits until a channel takes it; what a channel took
// but never sent is taken back when its connection is replaced. Nothing is dropped: when too much waits, the sender is
// told `busy`.

import { TercetError } from "./api.js";

const WAITING_MAX = 64;

/** Where the messages go: a peer connection's reliable channel. */
export interface Outlet {
  /** How much of what it took it didn't send yet. */
  readonly unsentBytes: number;
  /** Whether the message was taken, the last after all before it. */
  take(message: string): boolean;
}

interface Taken {
  message: string;
  bytes: number;
}

export class Outbox {
  readonly #waiting: string[] = [];
  /** What the outlet may hold still, in its order. */
  readonly #taken: Taken[] = [];
  #takenBytes = 0;

  post(message: string, outlet: Outlet): void {
    if (this.#waiting.length >= WAITING_MAX)
      throw new TercetError("busy", "too many messages wait to be sent");
    this.#waiting.push(message);
    this.flush(outlet);
  }

  flush(outlet: Outlet): void {
    for (let message = this.#waiting[0]; message !== undefined; message = this.#waiting[0]) {
      if (!outlet.take(message)) return;
      this.#waiting.shift();
      const { length: bytes } = new TextEncoder().encode(message);
      this.#taken.push({ message, bytes });
      this.#takenBytes += bytes;
      this.#forgetSent(outlet.unsentBytes);
    }
  }

  /**
   * The outlet is given up. A message of which only a part was sent didn't arrive. What comes back may be more than
   * waits otherwise: it was accepted already.
   */
  takeBack(outlet: Outlet): void {
    this.#forgetSent(outlet.unsentBytes);
    this.#waiting.unshift(...this.#taken.splice(0).map(({ message }) => message));
    this.#takenBytes = 0;
  }

  #forgetSent(unsentBytes: number): void {
    for (let first = this.#taken[0]; first; first = this.#taken[0]) {
      if (this.#takenBytes - first.bytes < unsentBytes) return;
      this.#takenBytes -= first.bytes;
      this.#taken.shift();
    }
  }
}
