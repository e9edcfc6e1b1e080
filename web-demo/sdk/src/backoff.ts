// How long to wait before the next attempt, and a wait that can be cut short: when the network is back or the
// page is looked at again, there is no reason to sit out the rest.

const FIRST_MS = 250;
const LONGEST_MS = 5000;
/** A connection that breaks sooner is one more failed attempt: whoever accepts and drops it isn't to be stormed. */
const STEADY_MS = 10_000;

/**
 * The wait before attempt `attempt`, counted from 0. It doubles up to a limit; half of it is random, so that the
 * clients of a server that restarts don't come back all at once.
 */
export function backoffMs(attempt: number, random: () => number = Math.random): number {
  const ceiling = Math.min(LONGEST_MS, FIRST_MS * 2 ** attempt);
  return ceiling * (0.5 + 0.5 * random());
}

/** The waits of a connection that is opened again and again. */
export class Backoff {
  #attempt = 0;
  #openedAt = Number.NEGATIVE_INFINITY;

  opened(): void {
    this.#openedAt = performance.now();
  }

  /** The connection broke: attempts are counted from 0 again only if it had held. */
  broke(): void {
    if (performance.now() - this.#openedAt >= STEADY_MS) this.#attempt = 0;
  }

  /** The first attempt is made at once. */
  nextMs(): number {
    const attempt = this.#attempt++;
    return attempt === 0 ? 0 : backoffMs(attempt - 1);
  }
}

/** A wait of one party that another can end. */
export class Pause {
  #end: (() => void) | null = null;

  wait(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => this.cut(), ms);
      this.#end = () => {
        clearTimeout(timer);
        this.#end = null;
        resolve();
      };
    });
  }

  cut(): void {
    this.#end?.();
  }
}
