// Handlers come in by event, and are called in the order of their registration. A handler that throws
// is reported like any uncaught error and keeps neither the others nor the room from going on.

type EventMap<M> = { [E in keyof M]: unknown[] };
type Handler<A extends unknown[]> = (...args: A) => void;

export class Emitter<M extends EventMap<M>> {
  readonly #handlers: { [E in keyof M]?: Set<Handler<M[E]>> } = {};

  on<E extends keyof M>(event: E, handler: Handler<M[E]>): () => void {
    this.#handlers[event] ??= new Set();
    // A wrapper, so that the same function can be registered twice and unregistered once.
    const registered: Handler<M[E]> = (...args) => handler(...args);
    this.#handlers[event].add(registered);
    return () => this.#handlers[event]?.delete(registered);
  }

  emit<E extends keyof M>(event: E, ...args: M[E]): void {
    for (const handler of [...(this.#handlers[event] ?? [])]) {
      try {
        handler(...args);
      } catch (error) {
        if (typeof reportError === "function") reportError(error);
        else console.error(error);
      }
    }
  }
}
