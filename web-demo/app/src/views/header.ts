// The head of a room: its name, the quality of the connection, the link for others; and below it the banner that says
// when something is wrong with the connection.

import { h } from "../dom.js";
import type { Quality } from "../quality.js";
import { copyButton } from "./invitation.js";

const CONNECTING = "Connecting audio…";

export class Header {
  readonly element: HTMLElement;
  readonly banner: HTMLElement;
  readonly #sentence = h("span");
  // Each second's number would be read out, were it not hidden from screen readers.
  readonly #countdown = h("span", { ariaHidden: "true" });
  readonly #title: HTMLElement;
  readonly #quality = h(
    "span",
    { className: "quality", role: "img", data: { testid: "quality" } },
    h("i"),
    h("i"),
    h("i"),
  );
  readonly #connecting = h("span", { className: "connecting", ariaHidden: "true" }, CONNECTING);

  constructor(room: string) {
    this.#title = h("h1", { className: "room-name", tabIndex: -1, title: room }, room);
    const copy = copyButton(room, "copy-link");
    const mark = h("span", { className: "mark", ariaHidden: "true" }, h("i"), h("i"), h("i"));
    this.element = h(
      "header",
      { className: "head" },
      mark,
      this.#title,
      this.#quality,
      this.#connecting,
      copy,
    );
    const banner = { className: "banner", role: "alert", hidden: true, data: { testid: "banner" } };
    this.banner = h("p", banner, this.#sentence, this.#countdown);
    this.setQuality(null);
  }

  focus(): void {
    this.#title.focus();
  }

  /** `null` while no media flows: there is nothing to judge yet. */
  setQuality(quality: Quality | null): void {
    const label = quality === null ? CONNECTING : `Connection: ${quality}`;
    this.#quality.dataset.quality = quality ?? "unknown";
    this.#quality.ariaLabel = label;
    this.#quality.title = label;
    this.#connecting.hidden = quality !== null;
  }

  setBanner(sentence: string, countdown: string): void {
    this.#countdown.textContent = countdown ? ` ${countdown}.` : "";
    // The same again would be read out again.
    if (this.#sentence.textContent === sentence) return;
    this.#sentence.textContent = sentence;
    this.banner.hidden = sentence === "";
  }
}
