// The ways into a room: URLs of nodes and a token come in, a WebSocket that was welcomed goes out. Which node serves a
// room is for the nodes to say: one that doesn't sends the client on to another (`redirect`), and where that one isn't
// reached, it passes on what is said.

import { type ConnectOptions, TercetError } from "./api.js";
import { Signalling, socketUrl } from "./signalling.js";
import { type Hello, VERSION, type Welcome } from "./wire.js";

const REDIRECT_MS = 2_000;

/** What one node answers, and another may not. */
const PASSING = new Set(["unreachable", "shutting_down", "overloaded", "internal"]);

/** What no later attempt changes. */
const FINAL = new Set(["unauthorized", "token_expired", "unsupported_version", "bad_message"]);

type Saying =
  | { type: "join"; token: string; name?: string }
  | { type: "resume"; session: string; secret: string };

/** A session at the other end of a WebSocket. */
export interface Entered {
  /** The base URL that the WebSocket is below. */
  url: string;
  signalling: Signalling;
  welcome: Welcome;
}

export class Entrance {
  /** What `connect` was given. */
  readonly urls: readonly string[];
  readonly #name: string | undefined;
  readonly #getToken: ConnectOptions["getToken"];
  #token: string;

  constructor({ url, token, name, getToken }: ConnectOptions) {
    this.urls = typeof url === "string" ? [url] : [...url];
    // What is no address throws now, and not when it is needed.
    for (const it of this.urls) socketUrl(it);
    this.#token = token;
    this.#name = name;
    this.#getToken = getToken;
  }

  /** Joins through the first of these that takes one. Rejects with the first refusal that isn't mere silence. */
  async join(urls: readonly string[], withinMs: number): Promise<Entered> {
    let refusal: unknown = new TercetError("unreachable", "no URL of a server was given");
    for (const url of urls) {
      try {
        return await this.#join(url, withinMs);
      } catch (error) {
        if (!PASSING.has(codeOf(error))) throw error;
        // Whoever answers knows more than whoever doesn't.
        if (codeOf(refusal) === "unreachable") refusal = error;
      }
    }
    throw refusal;
  }

  /** Takes a session up again. */
  resume(url: string, { id, secret }: Welcome["session"], withinMs: number): Promise<Entered> {
    return this.#enter(url, { type: "resume", session: id, secret }, withinMs);
  }

  /** Whether there is nothing to hope for from a later attempt. */
  isFinal(error: unknown): boolean {
    const code = codeOf(error);
    return FINAL.has(code) && !(code === "token_expired" && this.#getToken);
  }

  async #join(url: string, withinMs: number): Promise<Entered> {
    const join = () => this.#enter(url, { type: "join", token: this.#token, name: this.#name }, withinMs);
    try {
      return await join();
    } catch (error) {
      if (codeOf(error) !== "token_expired" || !this.#getToken) throw error;
      this.#token = await this.#getToken().catch((cause: unknown) => {
        throw new TercetError("token_expired", "the token has expired, and no fresh one came", { cause });
      });
      return join();
    }
  }

  async #enter(url: string, saying: Saying, withinMs: number): Promise<Entered> {
    const hello = (may_redirect: boolean): Hello => ({ version: VERSION, may_redirect, ...saying });
    const greeted = await Signalling.enter(socketUrl(url), hello(true), withinMs);
    if (!("redirect" in greeted)) return { url, ...greeted };
    try {
      return await this.#insist(greeted.redirect, hello(false), REDIRECT_MS);
    } catch (error) {
      // An address that isn't one, or that this page may not use, is as good as one where nobody is.
      if (error instanceof TercetError && !PASSING.has(error.code)) throw error;
      return this.#insist(url, hello(false), withinMs);
    }
  }

  /** Where no redirect may follow. */
  async #insist(url: string, hello: Hello, withinMs: number): Promise<Entered> {
    const greeted = await Signalling.enter(socketUrl(url), hello, withinMs);
    if ("redirect" in greeted)
      throw new TercetError("unreachable", `${url} sends on whom it was asked to take`);
    return { url, ...greeted };
  }
}

export function codeOf(error: unknown): string {
  return error instanceof TercetError ? error.code : "";
}
