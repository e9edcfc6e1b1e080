// The entry of the package: a token comes in, a room goes out.

import type { ConnectOptions, Room } from "./api.js";
import { LiveRoom } from "./room.js";

export * from "./api.js";
export { backoffMs } from "./backoff.js";
export { observeView } from "./observing.js";

/**
 * Enters the room that the token names. Resolves when the server has answered the media offer, which is before media
 * flows: if it doesn't within 10 s, the room's `error` event says `media_unreachable`. Rejects with a `TercetError`:
 * the server's refusal, or `unreachable`.
 */
export function connect(options: ConnectOptions): Promise<Room> {
  return LiveRoom.join(options);
}
