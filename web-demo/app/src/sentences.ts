// Codes, reasons and numbers in, sentences for people out.

import { type Call, type CloseReason, TercetError } from "@tercet/sdk";

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
  no_phones: "This server has no phones.",
  no_such_trunk: "No user of this server has that name, and there is no trunk to call a number through.",
  rate_limited: "That was too much at once. Wait a moment, and try again.",
  unsupported: "This browser has no WebRTC, without which there is no live audio.",
  no_video: "There is no video in this room.",
  media_unreachable:
    "Audio can't get through to the server: maybe a firewall blocks UDP. Signalling works, still trying.",
};

/** Of the statuses of SIP (RFC 3261, section 21) those that say something to whoever called. */
const CALL_STATUS: Record<number, string> = {
  404: "no such number, or no phone of theirs is there",
  408: "no answer",
  410: "no such number",
  480: "not reachable now",
  484: "the number is not complete",
  486: "busy",
  487: "cancelled",
  600: "busy",
  603: "declined",
  604: "no such number",
};

const CALL_REASON: Record<string, string> = {
  cancelled: "cancelled",
  hung_up: "hung up",
  removed: "hung up",
  left: "has left",
  peer_hung_up: "has hung up",
  not_answered: "no answer",
  no_media: "its sound can't be understood",
  media_lost: "the connection was lost",
  peer_gone: "the connection was lost",
  refused: "the room is full",
  closing: "the server stops",
  shut_down: "the server stops",
};

/** How a call stands, beside the name of who is called. */
export function sentenceOfCall({ state, reason, status }: Pick<Call, "state" | "reason" | "status">): string {
  if (state === "dialling") return "calling…";
  if (state === "ringing") return "ringing";
  if (state === "talking") return "in the room";
  const byReason = CALL_REASON[reason ?? ""];
  if (byReason) return byReason;
  const byStatus = CALL_STATUS[status ?? 0];
  if (byStatus) return byStatus;
  return status === null ? "ended" : `could not be called (${status})`;
}

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
