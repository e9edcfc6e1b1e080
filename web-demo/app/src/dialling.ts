// What people write down as a number in, what can be called out; and which ways out there are to choose from.

import type { DialRights } from "@tercet/sdk";

/** A user of the server's, beside trunks: an order without one. */
export const NO_TRUNK = "";

/** Numbers are written with spaces, brackets and strokes, of which nothing is dialled. Names stay as they are. */
export function callable(written: string): string {
  const text = written.trim();
  const isNumber = /\d/.test(text) && /^[-\d\s+*#()/.]+$/.test(text);
  return isNumber ? text.replace(/[^\d+*#]/g, "") : text;
}

/** What is wrong with what was written down, as far as a page can know. */
export function complaintOf(to: string): string | null {
  if (/^[\w+*#.-]{1,64}$/.test(to)) return null;
  return "That is neither a number nor a name: they have up to 64 letters, digits, and + * # . - _";
}

/** The trunks to choose from; none where there is no choice. */
export function ways({ users, trunks }: DialRights): { value: string; label: string }[] {
  if (trunks.length < 2) return [];
  const choices = trunks.map((name) => ({ value: name, label: name }));
  return users ? [...choices, { value: NO_TRUNK, label: "none: a user of this server" }] : choices;
}

export function labelOfTo({ users, trunks }: DialRights): string {
  if (trunks.length === 0) return "Name of a user";
  return users ? "Number, or name of a user" : "Number";
}
