// What the page says of the connection: facts in, the banner and the notice out. Signalling that is gone is the banner's
// matter, because nothing works then; media that is gone leaves the rest of the room in order.

import type { RoomState } from "@tercet/sdk";

export interface Facts {
  state: RoomState;
  /** A WebSocket is open. */
  signalling: boolean;
  /** Media flows now. */
  media: boolean;
  /** Media has flowed. */
  mediaStood: boolean;
  /** Until the server stops, once it said so. */
  closesInMs: number | null;
}

export interface Said {
  banner: string;
  /** Stands behind the banner and changes each second, which screen readers shouldn't read out. */
  countdown: string;
  notice: string | null;
}

export function said({ state, signalling, media, mediaStood, closesInMs }: Facts): Said {
  const broken = state === "reconnecting";
  if (broken && !signalling) {
    return { banner: "The connection broke. Reconnecting…", countdown: "", notice: null };
  }
  // What never flowed is no interruption: the mark of quality says that it is being connected.
  const notice = broken && mediaStood && !media ? "Audio is interrupted. Connecting it again…" : null;
  if (closesInMs === null) return { banner: "", countdown: "", notice };
  const seconds = Math.max(0, Math.ceil(closesInMs / 1000));
  return {
    banner: "The server is going to stop",
    countdown: seconds > 0 ? `in ${seconds} s` : "now",
    notice,
  };
}
