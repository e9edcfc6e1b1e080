// The page's address in, what it asks for out; and the other way round, the address that invites others.

export interface Address {
  room: string;
  /** An access token of one's own, in place of the demo's. */
  token: string | null;
  /** Test aid: send a tone of this frequency in place of the microphone. */
  toneHz: number | null;
  gain: number;
}

export function readAddress(href: string): Address {
  const { searchParams } = new URL(href);
  const toneHz = Number(searchParams.get("tone"));
  const gain = Number(searchParams.get("gain") ?? 0.5);
  return {
    room: searchParams.get("room") ?? "",
    token: searchParams.get("token"),
    toneHz: Number.isFinite(toneHz) && toneHz > 0 ? toneHz : null,
    gain: Number.isFinite(gain) ? Math.min(1, Math.max(0, gain)) : 0.5,
  };
}

/** The same page with another room: a reload stays in it. */
export function withRoom(href: string, room: string): string {
  const url = new URL(href);
  url.searchParams.set("room", room);
  return url.href;
}

/** To be sent to others: no token and no test aid goes with it. */
export function inviteTo(href: string, room: string): string {
  const url = new URL(href);
  url.search = url.hash = "";
  url.searchParams.set("room", room);
  return url.href;
}

/** The server that the page came from, with the prefix that it is served below. */
export function serverOf(href: string): string {
  const url = new URL(".", href);
  url.search = url.hash = "";
  return url.href.replace(/\/$/, "");
}
