// The form at the door: a name, a room, whether one only listens, and the camera if it is on already go out.

import type { Claims } from "../access.js";
import { h } from "../dom.js";
import { recall } from "../preferences.js";
import { Mirror } from "./mirror.js";
import { wordmark } from "./wordmark.js";

export interface JoinWish {
  name: string;
  room: string;
  listener: boolean;
  /** What one is seen by from the beginning. */
  camera: MediaStreamTrack | null;
}

export interface JoinOptions {
  room: string;
  /** Of the token in the address, if there is one: it fixes the room. */
  claims: Claims | null;
  submit(wish: JoinWish): void;
}

const FIRST = ["amber", "quiet", "northern", "early", "copper", "salt", "winter", "paper", "slow", "blue"];
const SECOND = ["harbour", "orchard", "lantern", "meadow", "station", "river", "attic", "island", "garden"];

export class JoinView {
  readonly element: HTMLElement;
  readonly #name: HTMLInputElement;
  readonly #room: HTMLInputElement;
  readonly #listener: HTMLInputElement;
  readonly #button = h("button", { type: "submit", className: "primary", data: { testid: "join-button" } });
  readonly #notice = h("p", { className: "notice", hidden: true, role: "alert", data: { testid: "notice" } });
  readonly #microphone = h("p", { className: "hint", data: { testid: "join-microphone" } });
  readonly #mirror = new Mirror();
  readonly #tokenHelp = h("div", { className: "token-help", hidden: true });

  constructor({ room, claims, submit }: JoinOptions) {
    this.#name = h("input", {
      id: "join-name",
      value: claims?.name || recall("name"),
      required: true,
      maxLength: 64,
      autocomplete: "name",
      data: { testid: "join-name" },
    });
    this.#room = h("input", {
      id: "join-room",
      value: claims?.room || room || suggestion(),
      required: true,
      maxLength: 128,
      readOnly: claims !== null,
      autocomplete: "off",
      data: { testid: "join-room" },
    });
    this.#room.spellcheck = false;
    this.#listener = h("input", { type: "checkbox", id: "join-listener", data: { testid: "join-listener" } });
    // With a token the role is the token's.
    if (claims) {
      this.#listener.checked = claims.role === "listener";
      this.#listener.disabled = true;
    }
    const form = h(
      "form",
      { className: "join-form" },
      this.#notice,
      this.#tokenHelp,
      h("div", { className: "field" }, h("label", { htmlFor: "join-name" }, "Your name"), this.#name),
      h("div", { className: "field" }, h("label", { htmlFor: "join-room" }, "Room"), this.#room),
      this.#mirror.element,
      h("label", { className: "choice" }, this.#listener, h("span", {}, "Join as a listener")),
      this.#microphone,
      this.#button,
    );
    this.#listener.onchange = () => this.#showDevices();
    this.#showDevices();
    form.onsubmit = (event) => {
      event.preventDefault();
      submit({
        name: this.#name.value.trim(),
        room: this.#room.value.trim(),
        listener: this.#listener.checked && !claims,
        camera: this.#mirror.track,
      });
    };
    this.element = h(
      "main",
      { className: "join" },
      h(
        "div",
        { className: "join-story" },
        wordmark(),
        h(
          "p",
          { className: "verse" },
          h("span", {}, "A room may hold"),
          h("span", {}, "hundreds; the three who speak up"),
          h("span", {}, "are the ones you hear."),
        ),
      ),
      form,
    );
    this.setBusy(false);
    queueMicrotask(() => (this.#name.value ? this.#button : this.#name).focus());
  }

  /** Who only listens isn't seen either. */
  #showDevices(): void {
    const listens = this.#listener.checked;
    if (listens) this.#mirror.stop();
    this.#mirror.element.hidden = listens;
    this.#microphone.hidden = listens;
    this.#microphone.textContent =
      recall("muted") === "true"
        ? "You were muted, and still are when you enter."
        : "Your microphone is on when you enter.";
  }

  /** Its place is taken. The camera goes on for whoever took it. */
  close(): void {
    this.#mirror.close();
  }

  setBusy(busy: boolean): void {
    this.#button.disabled = busy;
    this.#button.textContent = busy ? "Joining…" : "Join the room";
    if (busy) this.#notice.hidden = true;
  }

  showNotice(sentence: string): void {
    this.#notice.textContent = sentence;
    this.#notice.hidden = false;
  }

  /** The server hands out no demo tokens. */
  askForToken(): void {
    this.#button.disabled = true;
    const update = () => {
      const room = this.#room.value.trim() || "ROOM";
      const identity = this.#name.value.trim() || "NAME";
      command.textContent = `tercet token --room ${quoted(room)} --identity ${quoted(identity)}`;
    };
    const command = h("code");
    this.#name.oninput = this.#room.oninput = update;
    update();
    this.#tokenHelp.replaceChildren(
      h("p", {}, "This server lets people in by token only. Whoever runs it makes one with"),
      h("pre", {}, command),
      h("p", {}, "and you open this page as ", h("code", {}, "?token=…"), " with what it prints."),
    );
    this.#tokenHelp.hidden = false;
  }
}

function quoted(word: string): string {
  return /^[\w.-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

function suggestion(): string {
  const pick = (words: string[]) => words[Math.floor(Math.random() * words.length)] ?? "room";
  return `${pick(FIRST)}-${pick(SECOND)}`;
}
