// One WebSocket, from its hello to its loss. Requests go out with an id and their replies settle them; what the
// server tells unasked goes to the handlers. It never reconnects: `room.ts` opens another one.

import { TercetError } from "./api.js";
import type { Answer, Dialled, Hello, Redirect, Request, ServerEvent, Welcome, WireError } from "./wire.js";

const PONG_MS = 5_000;

export interface SignallingHandlers {
  event(event: ServerEvent): void;
  lost(): void;
}

interface Pending {
  resolve(reply: unknown): void;
  reject(error: TercetError): void;
}

/** What a hello leads to. */
export type Greeted = { signalling: Signalling; welcome: Welcome } | { redirect: string };

export class Signalling {
  readonly socket: WebSocket;
  #handlers: SignallingHandlers = { event: () => {}, lost: () => {} };
  readonly #pending = new Map<number, Pending>();
  #lastId = 0;
  #heartbeat: ReturnType<typeof setInterval> | undefined;
  #over = false;

  private constructor(url: string) {
    this.socket = new WebSocket(url);
  }

  /**
   * Opens a WebSocket and says hello. Rejects with the server's refusal, or with `unreachable` if there is no answer in
   * time. Whoever gets it has to `attend` to it before the next task, in which something may arrive.
   */
  static async enter(url: string, hello: Hello, withinMs: number): Promise<Greeted> {
    const signalling = new Signalling(url);
    const late = setTimeout(() => signalling.#lose(), withinMs);
    try {
      const reply = await signalling.#greet(hello);
      if (reply.type === "redirect") {
        signalling.close();
        return { redirect: reply.url };
      }
      signalling.#heartbeat = setInterval(() => signalling.probe(), reply.session.idle_ms / 3);
      return { signalling, welcome: reply };
    } catch (error) {
      signalling.close();
      const lost = error instanceof TercetError && error.code === "connection_lost";
      throw lost ? new TercetError("unreachable", `no connection to ${url}`) : error;
    } finally {
      clearTimeout(late);
    }
  }

  attend(handlers: SignallingHandlers): void {
    this.#handlers = handlers;
  }

  request(request: Request & { type: "offer" }): Promise<Answer>;
  request(request: Request & { type: "dial" }): Promise<Dialled>;
  request(request: Request): Promise<unknown>;
  request(request: Request): Promise<unknown> {
    return this.#ask(request);
  }

  /** Finds out whether the WebSocket still works: silence to a ping counts as its loss. */
  probe(): void {
    const silent = setTimeout(() => this.#lose(), PONG_MS);
    const heard = () => clearTimeout(silent);
    this.#ask({ type: "ping" }).then(heard, heard);
  }

  /** Sends the end of the session, without waiting for anything. */
  sayLeave(): void {
    if (!this.#over && this.socket.readyState === WebSocket.OPEN) this.socket.send('{"type":"leave"}');
  }

  /** Ends it from this side: no handler is called any more. */
  close(): void {
    if (this.#over) return;
    this.#over = true;
    clearInterval(this.#heartbeat);
    this.socket.onopen = this.socket.onmessage = this.socket.onclose = null;
    this.socket.close();
    for (const { reject } of this.#pending.values()) {
      reject(new TercetError("connection_lost", "the connection broke before the reply came"));
    }
    this.#pending.clear();
  }

  #greet(hello: Hello): Promise<Welcome | Redirect> {
    return new Promise((resolve, reject) => {
      const id = ++this.#lastId;
      this.#pending.set(id, { resolve: (reply) => resolve(reply as Welcome | Redirect), reject });
      this.socket.onopen = () => this.socket.send(JSON.stringify({ ...hello, id }));
      this.socket.onmessage = ({ data }) => this.#receive(data);
      this.socket.onclose = () => this.#lose();
    });
  }

  #ask(request: Request): Promise<unknown> {
    if (this.#over) return Promise.reject(new TercetError("connection_lost", "the connection is broken"));
    return new Promise((resolve, reject) => {
      const id = ++this.#lastId;
      this.#pending.set(id, { resolve, reject });
      this.socket.send(JSON.stringify({ ...request, id }));
    });
  }

  #receive(text: string): void {
    const message = JSON.parse(text) as { type: string; re?: number };
    const pending = message.re === undefined ? undefined : this.#pending.get(message.re);
    if (!pending || message.re === undefined) {
      // A refused hello may come without `re`, when the server didn't get as far as reading an id.
      if (message.type === "error" && this.#heartbeat === undefined) this.#refuseAll(message as WireError);
      else this.#handlers.event(message as ServerEvent);
      return;
    }
    this.#pending.delete(message.re);
    if (message.type === "error") pending.reject(refusal(message as WireError));
    else pending.resolve(message);
  }

  #refuseAll(error: WireError): void {
    for (const { reject } of this.#pending.values()) reject(refusal(error));
    this.#pending.clear();
  }

  #lose(): void {
    if (this.#over) return;
    this.close();
    // Before the welcome the caller of `enter` learns it from the rejection.
    if (this.#heartbeat !== undefined) this.#handlers.lost();
  }
}

export function refusal(error: WireError): TercetError {
  const { retry_after_ms: retryAfterMs } = error;
  return new TercetError(error.code, error.message, retryAfterMs === undefined ? {} : { retryAfterMs });
}

/** The WebSocket below a server's base URL, which may be of either kind and end in a slash or not. */
export function socketUrl(base: string): string {
  const url = new URL(base, globalThis.location?.href);
  url.protocol = url.protocol.replace(/^http/, "ws");
  url.pathname = `${url.pathname.replace(/\/+$/, "")}/v1/ws`;
  url.search = url.hash = "";
  return url.href;
}
