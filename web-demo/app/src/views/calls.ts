// The calls out of the room, a row each: how it stands, and a button that hangs it up. What became of one that ended can be
// read for a while.

import type { Call, Room } from "@tercet/sdk";
import { announce } from "../announcer.js";
import { h, ICONS, icon } from "../dom.js";
import { sentenceOfCall } from "../sentences.js";

const ENDED_SHOWN_MS = 30_000;
/** Whoever answered is among the people too, so that more need no row. */
const ROWS_MAX = 50;

export class Calls {
  readonly element: HTMLElement;
  readonly #room: Room;
  readonly #onError: (error: unknown) => void;
  /** Where the focus goes when the row that had it is gone. */
  readonly #next: () => HTMLElement | null;
  readonly #rows = new Map<Call, Row>();
  readonly #list = h("ul", { className: "calls-list" });

  constructor(room: Room, next: () => HTMLElement | null, onError: (error: unknown) => void) {
    this.#room = room;
    this.#next = next;
    this.#onError = onError;
    this.element = h(
      "section",
      { className: "calls", aria: { label: "Calls" }, data: { testid: "calls" } },
      h("h2", {}, "Calls"),
      this.#list,
    );
    for (const call of room.calls.values()) this.update(call);
    this.#draw();
  }

  /** A call began, stands otherwise than before, or has ended. */
  update(call: Call): void {
    const row = this.#rows.get(call);
    if (row) row.update();
    else this.#add(call);
    announce(`${call.name}: ${sentenceOfCall(call)}.`);
    this.#draw();
  }

  /** One may dial no more, or again. */
  refresh(): void {
    if (this.#room.dialRights) return;
    for (const call of [...this.#rows.keys()]) this.#remove(call);
    this.#draw();
  }

  close(): void {
    for (const row of this.#rows.values()) row.close();
  }

  #add(call: Call): void {
    const row = new Row(call, {
      hangUp: () => void this.#room.hangUp(call.id).catch(this.#onError),
      remove: () => {
        this.#remove(call);
        this.#draw();
      },
    });
    this.#rows.set(call, row);
    this.#list.append(row.element);
    const [oldest] = this.#rows.keys();
    if (this.#rows.size > ROWS_MAX && oldest) this.#remove(oldest);
  }

  #remove(call: Call): void {
    const row = this.#rows.get(call);
    if (!row) return;
    const had = row.element.contains(document.activeElement);
    row.close();
    row.element.remove();
    this.#rows.delete(call);
    if (had) this.#next()?.focus();
  }

  #draw(): void {
    this.element.hidden = this.#rows.size === 0;
  }
}

interface RowHandlers {
  hangUp(): void;
  remove(): void;
}

class Row {
  readonly element: HTMLElement;
  readonly #call: Call;
  readonly #handlers: RowHandlers;
  readonly #state = h("span", { className: "state", data: { testid: "call-state" } });
  readonly #button = h("button", { type: "button", data: { testid: "call-hang-up" } });
  #ending: ReturnType<typeof setTimeout> | undefined;

  constructor(call: Call, handlers: RowHandlers) {
    this.#call = call;
    this.#handlers = handlers;
    this.element = h(
      "li",
      { className: "call", data: { testid: "call" } },
      icon(ICONS.phone),
      h(
        "span",
        { className: "who" },
        h("span", { className: "name", title: call.name }, call.name),
        this.#state,
      ),
      this.#button,
    );
    this.update();
  }

  update(): void {
    const { name, state } = this.#call;
    this.element.dataset.state = state;
    this.#state.textContent = sentenceOfCall(this.#call);
    const ended = state === "ended";
    // The same button, so that the focus stays where it was.
    this.#button.textContent = ended ? "Dismiss" : "Hang up";
    this.#button.ariaLabel = ended ? `Dismiss the call of ${name}` : `Hang up on ${name}`;
    this.#button.onclick = ended ? this.#handlers.remove : this.#handlers.hangUp;
    if (ended) this.#ending ??= setTimeout(this.#handlers.remove, ENDED_SHOWN_MS);
  }

  close(): void {
    clearTimeout(this.#ending);
  }
}
