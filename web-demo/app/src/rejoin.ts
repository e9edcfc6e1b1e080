// Coming back to a room whose session is lost, for instance because the server was restarted: attempts, with the
// SDK's back-off between them, until one succeeds, one is refused for good, or it has taken too long.

import { backoffMs, type CloseReason, TercetError } from "@tercet/sdk";

/** Longer than a restart takes; after it a person should decide. */
const GIVE_UP_MS = 45_000;

/** Nobody wanted to leave: the room may still be there, or be there again. */
const LOST: ReadonlySet<CloseReason> = new Set(["timed_out", "shutdown"]);
/** What a server that comes back says no more. */
const PASSING = new Set(["unreachable", "shutting_down", "overloaded", "connection_lost"]);

export function mayRejoin(reason: CloseReason): boolean {
  return LOST.has(reason);
}

/** Resolves to what `enter` resolves to, or rejects with its last error. */
export async function rejoin<T>(enter: () => Promise<T>): Promise<T> {
  const deadline = performance.now() + GIVE_UP_MS;
  let retryAfterMs = 0;
  for (let attempt = 0; ; attempt++) {
    const waitMs = Math.max(backoffMs(attempt), retryAfterMs);
    await new Promise((resolve) => setTimeout(resolve, waitMs));
    try {
      return await enter();
    } catch (error) {
      const passes = error instanceof TercetError && PASSING.has(error.code);
      if (!passes || performance.now() > deadline) throw error;
      retryAfterMs = error.retryAfterMs ?? 0;
    }
  }
}
