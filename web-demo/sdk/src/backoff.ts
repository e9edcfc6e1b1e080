// How long to wait before the next attempt, and a wait that can be cut short: when the network is back or the
// page is looked at again, there is no reason to sit out the rest.

const FIRST_MS = 250;
const LONGEST_MS = 5000;

/**
 * The wait before attempt `attempt`, counted from 0. It doubles up to a limit; half of it is random, so that the
 * clients of a server that restarts don't come back all at once.
 */
export function backoffMs(attempt: number, random: () => number = Math.random): number {
  const ceiling = Math.min(LONGEST_MS, FIRST_MS * 2 ** attempt);
  return ceiling * (0.5 + 0.5 * random());
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
