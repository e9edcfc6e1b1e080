// How one gets in: a token from the address, or one from the server's demo endpoint.

import { TercetError } from "@tercet/sdk";

export interface Claims {
  room: string;
  name: string;
  role: string;
}

/** Whether the server hands out demo tokens. Throws where no server answers. */
export async function demoIsOpen(server: string): Promise<boolean> {
  const response = await fetch(`${server}/v1/demo`);
  if (!response.ok) throw new Error(`the server answered ${response.status}`);
  return ((await response.json()) as { open: boolean }).open;
}

export async function demoToken(
  server: string,
  wish: { room: string; name: string; role: "speaker" | "listener" },
): Promise<string> {
  const unreachable = (cause: unknown) => {
    throw new TercetError("unreachable", `no connection to ${server}`, { cause });
  };
  const response = await fetch(`${server}/v1/demo/token`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(wish),
  }).catch(unreachable);
  // A proxy's own pages, 502 to 504, mean that there is nothing behind it.
  if (response.status > 500) unreachable(response.status);
  const reply = (await response.json()) as { token?: string; message?: string };
  if (!response.ok || !reply.token)
    throw new Error(reply.message ?? `the server answered ${response.status}`);
  return reply.token;
}

/** What a token says, for showing it: whether it is true is for the server to check. */
export function claimsOf(token: string): Claims | null {
  try {
    const payload = (token.split(".")[1] ?? "").replaceAll("-", "+").replaceAll("_", "/");
    const bytes = Uint8Array.from(atob(payload), (character) => character.charCodeAt(0));
    const claims = JSON.parse(new TextDecoder().decode(bytes)) as Record<string, unknown>;
    const text = (name: string) => (typeof claims[name] === "string" ? claims[name] : "");
    return { room: text("room"), name: text("name") || text("sub"), role: text("role") || "speaker" };
  } catch {
    return null;
  }
}
