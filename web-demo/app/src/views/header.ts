// The head of a room: its name, the quality of the connection, the link for others; and below it the banner that says
// when something is wrong with the connection.

import { inviteTo } from "../address.js";
import { announce } from "../announcer.js";
import { h, ICONS, icon } from "../dom.js";
import type { Quality } from "../quality.js";

const COPIED_MS = 2000;

export class Header {
  readonly element: HTMLElement;
  readonly banner = h("p", { className: "banner", role: "alert", hidden: true, data: { testid: "banner" } });
  readonly #title: HTMLElement;
  readonly #quality = h(
    "span",
    { className: "quality", role: "img", data: { testid: "quality", quality: "good" } },
    h("i"),
    h("i"),
    h("i"),
  );
  readonly #copyLabel = h("span", {}, "Copy link");

  constructor(room: string) {
    this.#title = h("h1", { className: "room-name", tabIndex: -1 }, room);
    const copy = h(
      "button",
      {
        type: "button",
        className: "copy",
        onclick: () => void this.#copy(room),
        data: { testid: "copy-link" },
      },
      icon(ICONS.link),
      this.#copyLabel,
    );
    const mark = h("span", { className: "mark", ariaHidden: "true" }, h("i"), h("i"), h("i"));
    this.element = h("header", { className: "head" }, mark, this.#title, this.#quality, copy);
    this.setQuality("good");
  }

  focus(): void {
    this.#title.focus();
  }

  setQuality(quality: Quality): void {
    this.#quality.dataset.quality = quality;
    this.#quality.ariaLabel = `Connection: ${quality}`;
    this.#quality.title = `Connection: ${quality}`;
  }

  setBanner(sentence: string): void {
    this.banner.textContent = sentence;
    this.banner.hidden = sentence === "";
  }

  async #copy(room: string): Promise<void> {
    const link = inviteTo(location.href, room);
    try {
      await navigator.clipboard.writeText(link);
      this.#copyLabel.textContent = "Copied";
      announce("Link copied.");
      setTimeout(() => {
        this.#copyLabel.textContent = "Copy link";
      }, COPIED_MS);
    } catch {
      // No clipboard without HTTPS or permission: the link is shown for copying by hand.
      window.prompt("The link to this room", link);
    }
  }
}
