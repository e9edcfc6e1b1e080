// A little chat over the room's reliable data. Who joins later doesn't see what was said before: nothing stores it.

import { type DataMessage, type Room, TercetError } from "@tercet/sdk";
import { h } from "../dom.js";

const ENTRIES_MAX = 300;
const CHARACTERS_MAX = 2000;
/** Narrower screens show it above everything else, on demand. As in room.css. */
const BESIDE = "(min-width: 900px)";

interface ChatMessage {
  type: "chat";
  text: string;
}

export class Chat {
  readonly element: HTMLElement;
  readonly #room: Room;
  readonly #onUnread: (count: number) => void;
  readonly #log = h("ol", { className: "chat-log", role: "log", tabIndex: 0, data: { testid: "chat-log" } });
  readonly #input = h("input", {
    id: "chat-input",
    maxLength: CHARACTERS_MAX,
    autocomplete: "off",
    placeholder: "Write to the room",
    enterKeyHint: "send",
    data: { testid: "chat-input" },
    aria: { label: "Write to the room" },
  });
  readonly #watch: IntersectionObserver;
  #unread = 0;
  #visible = true;

  constructor(room: Room, onUnread: (count: number) => void) {
    this.#room = room;
    this.#onUnread = onUnread;
    const form = h("form", { className: "chat-form" }, this.#input, h("button", { type: "submit" }, "Send"));
    form.onsubmit = (event) => {
      event.preventDefault();
      this.#send();
    };
    this.#log.ariaLabel = "Chat";
    this.element = h(
      "section",
      { className: "panel chat", aria: { label: "Chat" } },
      h("h2", {}, "Chat"),
      this.#log,
      form,
    );
    this.element.hidden = !matchMedia(BESIDE).matches;
    // What arrives while it is closed, or scrolled away, isn't seen.
    this.#watch = new IntersectionObserver(([entry]) => {
      this.#visible = entry?.isIntersecting ?? true;
      if (this.#visible) this.#setUnread(0);
    });
    this.#watch.observe(form);
  }

  receive({ data, from, participant }: DataMessage): void {
    if (!isChat(data)) return;
    this.#append(participant?.name ?? from, data.text.slice(0, CHARACTERS_MAX), false);
    if (!this.#visible) this.#setUnread(this.#unread + 1);
  }

  get open(): boolean {
    return !this.element.hidden;
  }

  toggle(): boolean {
    this.element.hidden = !this.element.hidden;
    if (this.open) {
      this.element.scrollIntoView({ block: "nearest" });
      this.#input.focus();
    }
    return this.open;
  }

  close(): void {
    this.#watch.disconnect();
  }

  #send(): void {
    const text = this.#input.value.trim();
    if (!text) return;
    try {
      this.#room.send({ type: "chat", text } satisfies ChatMessage);
      this.#append(this.#room.me.name, text, true);
      this.#input.value = "";
    } catch (error) {
      if (!(error instanceof TercetError)) throw error;
      this.#append("Tercet", `Not sent: ${error.message}.`, false);
    }
  }

  #append(name: string, text: string, own: boolean): void {
    const atEnd = this.#log.scrollHeight - this.#log.scrollTop - this.#log.clientHeight < 40;
    const entry = h("li", {}, h("b", {}, name), " ", h("span", {}, text));
    entry.dataset.own = String(own);
    this.#log.append(entry);
    while (this.#log.childElementCount > ENTRIES_MAX) this.#log.firstElementChild?.remove();
    // Whoever reads further up isn't pulled away.
    if (atEnd || own) this.#log.scrollTop = this.#log.scrollHeight;
  }

  #setUnread(count: number): void {
    if (count === this.#unread) return;
    this.#unread = count;
    this.#onUnread(count);
  }
}

function isChat(data: unknown): data is ChatMessage {
  const message = data as Partial<ChatMessage> | null;
  return typeof message === "object" && message?.type === "chat" && typeof message.text === "string";
}
