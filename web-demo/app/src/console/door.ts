// The form that asks for a token, and says what was wrong with the last one.

import { h } from "../dom.js";

export class Door {
  readonly element: HTMLElement;
  readonly #token = h("input", {
    id: "token",
    type: "password",
    required: true,
    // Browsers offer to keep passwords; this is to be gone with the tab.
    autocomplete: "one-time-code",
    data: { testid: "token" },
  });
  readonly #notice = h("p", {
    className: "notice",
    hidden: true,
    role: "alert",
    data: { testid: "refusal" },
  });

  constructor(submit: (token: string) => void) {
    this.#token.spellcheck = false;
    const form = h(
      "form",
      { className: "join-form" },
      this.#notice,
      h("p", {}, "Only who runs the server may look in. A token for that is made with"),
      h("pre", {}, h("code", {}, "tercet token --admin --identity ops")),
      h(
        "p",
        { className: "hint" },
        "with the server's own secret or private key. This tab keeps it until it is closed.",
      ),
      h("div", { className: "field" }, h("label", { htmlFor: "token" }, "Token"), this.#token),
      h("button", { type: "submit", className: "primary", data: { testid: "look" } }, "Look in"),
    );
    form.onsubmit = (event) => {
      event.preventDefault();
      const token = this.#token.value.trim();
      this.#token.value = "";
      if (token) submit(token);
    };
    this.element = h("section", { className: "door", hidden: true, aria: { label: "Token" } }, form);
  }

  open(sentence: string): void {
    this.#notice.textContent = sentence;
    this.#notice.hidden = sentence === "";
    if (!this.element.hidden) return;
    this.element.hidden = false;
    this.#token.focus();
  }

  /** Whether it was open. */
  close(): boolean {
    const wasOpen = !this.element.hidden;
    this.element.hidden = true;
    return wasOpen;
  }
}
