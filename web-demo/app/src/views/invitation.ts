// The link that brings others here: a button that copies it, and what stands in a room where nobody else is.

import { inviteTo } from "../address.js";
import { announce } from "../announcer.js";
import { h, ICONS, icon } from "../dom.js";

const COPIED_MS = 2000;

export function copyButton(room: string, testid: string): HTMLButtonElement {
  const label = h("span", {}, "Copy link");
  const onclick = async () => {
    const link = inviteTo(location.href, room);
    try {
      await navigator.clipboard.writeText(link);
      label.textContent = "Copied";
      announce("Link copied.");
      setTimeout(() => {
        label.textContent = "Copy link";
      }, COPIED_MS);
    } catch {
      // No clipboard without HTTPS or permission: the link is shown for copying by hand.
      window.prompt("The link to this room", link);
    }
  };
  return h(
    "button",
    { type: "button", className: "copy", onclick: () => void onclick(), data: { testid } },
    icon(ICONS.link),
    label,
  );
}

export class Invitation {
  readonly element: HTMLElement;
  readonly #sentence = h("p");
  #hadCompany = false;

  constructor(room: string) {
    this.element = h(
      "div",
      { className: "invitation", data: { testid: "invitation" } },
      this.#sentence,
      copyButton(room, "copy-invitation"),
    );
  }

  update(peopleCount: number): void {
    this.#hadCompany ||= peopleCount > 1;
    this.element.hidden = peopleCount > 1;
    const where = this.#hadCompany ? "Nobody else is here now." : "You are the first here.";
    this.#sentence.textContent = `${where} Copy the link and send it to somebody.`;
  }
}
