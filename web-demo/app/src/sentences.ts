// Codes, reasons and numbers in, sentences for people out.

import { type CloseReason, TercetError } from "@tercet/sdk";

const CLOSED: Record<CloseReason, string> = {
  left: "",
  removed: "A moderator removed you from the room.",
  replaced: "You joined this room somewhere else with the same identity, and this page made way.",
  shutdown: "The server stopped.",
  timed_out: "The connection was gone for too long, or the server was restarted.",
  failed: "The server did not take the session up again. Join again.",
};

const REFUSED: Record<string, string> = {
  unreachable: "The server can't be reached. Is it running? Try again.",
  unauthorized: "The server doesn't accept this token. Is it of this server, and for this room?",
  token_expired: "This token has expired: ask for a new one.",
  room_full: "The room is full.",
  overloaded: "The server has no place for more people now. Try again later.",
  shutting_down: "The server is stopping and lets nobody in any more.",
  outdated: "A moderator muted you while the connection was broken.",
  connection_lost: "The connection broke before the server answered. See whether it was done, and try again.",
  removed: CLOSED.removed,
  replaced: CLOSED.replaced,
  unsupported: "This browser has no WebRTC, without which there is no live audio.",
  media_unreachable:
    "Audio can't get through to the server: maybe a firewall blocks UDP. Signalling works, still trying.",
};

export function sentenceOfEnd(reason: CloseReason): string {
  return CLOSED[reason];
}

/** Below a list that isn't of everybody: how many a search would show, and how many are in the room but not listed. */
export function sentenceOfMore(beyond: number, unlisted: number): string {
  const parts: string[] = [];
  if (beyond > 0) parts.push(`and ${beyond} more: the search finds them`);
  if (unlisted === 1) parts.push("and 1 more, who only listens and isn't listed");
  if (unlisted > 1) parts.push(`and ${unlisted} more, who only listen and aren't listed`);
  return parts.join("; ");
}

export function sentenceOfError(error: unknown): string {
  if (error instanceof TercetError) return REFUSED[error.code] ?? `${error.message} (${error.code})`;
  return error instanceof Error ? error.message : String(error);
}
