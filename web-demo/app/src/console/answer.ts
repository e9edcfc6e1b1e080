// `GET /v1/cluster` asked; a cluster out, or a sentence that says what is wrong and whether a token would mend it.

import { type Cluster, parseCluster } from "./cluster.js";
import { isSendable } from "./token.js";

export type Answer =
  | { kind: "seen"; cluster: Cluster }
  /** A token is needed, or another one. */
  | { kind: "closed"; sentence: string }
  /** It may pass by itself. */
  | { kind: "trouble"; sentence: string };

const ANSWER_MS = 5_000;

export async function ask(server: string, token: string | null): Promise<Answer> {
  if (token !== null && !isSendable(token)) {
    return { kind: "closed", sentence: "This is no token: it has characters in it that a token can't have." };
  }
  const headers: HeadersInit = token === null ? {} : { authorization: `Bearer ${token}` };
  try {
    const response = await fetch(`${server}/v1/cluster`, {
      headers,
      cache: "no-store",
      credentials: "omit",
      signal: AbortSignal.timeout(ANSWER_MS),
    });
    const body: unknown = await response.json().catch(() => null);
    return judge(response.status, body, token !== null);
  } catch {
    return { kind: "trouble", sentence: "The server can't be reached. Is it running?" };
  }
}

/** What an answer means. */
export function judge(status: number, body: unknown, hadToken: boolean): Answer {
  const { code, message } = refusalOf(body);
  const says = message ? ` The server says: ${message}.` : "";
  if (status === 401 && !hadToken) return { kind: "closed", sentence: "" };
  if (status === 401 && code === "token_expired") {
    return { kind: "closed", sentence: "This token has expired: make a new one." };
  }
  if (status === 401) return { kind: "closed", sentence: `This token isn't accepted.${says}` };
  if (status === 403 && hadToken) {
    return { kind: "closed", sentence: `This token doesn't let you look in.${says}` };
  }
  // With the development secret, by another name than one of this machine's: no token helps.
  if (status === 403) return { kind: "trouble", sentence: `The server refuses to answer.${says}` };
  if (status === 404) {
    return { kind: "trouble", sentence: "What answers here has no /v1/cluster: another server, or a proxy." };
  }
  if (status !== 200) return { kind: "trouble", sentence: `The server answered ${status}.${says}` };
  try {
    return { kind: "seen", cluster: parseCluster(body) };
  } catch {
    return { kind: "trouble", sentence: "What answers at /v1/cluster isn't a Tercet server." };
  }
}

function refusalOf(body: unknown): { code?: string; message?: string } {
  const { code, message } = (typeof body === "object" && body !== null ? body : {}) as Record<
    string,
    unknown
  >;
  const said: { code?: string; message?: string } = {};
  if (typeof code === "string") said.code = code;
  if (typeof message === "string") said.message = message;
  return said;
}
