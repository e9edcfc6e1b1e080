// What is asked of the server, over whichever WebSocket works: a request goes out, its reply comes in. What is done when
// the connection breaks between the two is decided here.

import { TercetError } from "./api.js";
import { codeOf } from "./entrance.js";
import type { Session } from "./session.js";
import type { Signalling } from "./signalling.js";
import type { Request } from "./wire.js";

export class Asking {
  /** The one that the room has now. */
  readonly #session: () => Session;
  readonly #isClosed: () => boolean;

  constructor(session: () => Session, isClosed: () => boolean) {
    this.#session = session;
    this.#isClosed = isClosed;
  }

  /**
   * What is asked for oneself means a state, so that a request whose reply was lost with its WebSocket is sent again,
   * if it `isDue` in the state that the new one brought.
   */
  async untilGranted(request: Request, isDue: () => boolean = () => true): Promise<void> {
    for (;;) {
      try {
        const signalling = await this.#session().up;
        if (!isDue()) return;
        await signalling.request(request);
        return;
      } catch (error) {
        if (codeOf(error) !== "connection_lost") throw error;
        if (this.#isClosed()) throw closed();
      }
    }
  }

  /** Not repeated: it would undo what the others, or another moderator, did meanwhile; or call somebody twice. */
  async once<T>(ask: (signalling: Signalling) => Promise<T>): Promise<T> {
    const signalling = await this.#signallingUp();
    try {
      return await ask(signalling);
    } catch (error) {
      if (codeOf(error) !== "connection_lost") throw error;
      if (this.#isClosed()) throw closed();
      throw new TercetError(
        "connection_lost",
        "the connection broke before the reply came: it may have been done or not, and isn't asked for again",
      );
    }
  }

  /** The next WebSocket that works, of whatever session. */
  async #signallingUp(): Promise<Signalling> {
    for (;;) {
      try {
        return await this.#session().up;
      } catch {
        if (this.#isClosed()) throw closed();
      }
    }
  }
}

export function closed(): TercetError {
  return new TercetError("closed", "the session is over");
}
