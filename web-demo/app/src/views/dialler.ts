// The dialog in which somebody is called: a number or a name goes out, and what is wrong with it comes back.

import type { Call, DialOrder, DialRights } from "@tercet/sdk";
import { callable, complaintOf, labelOfTo, NO_TRUNK, ways } from "../dialling.js";
import { h } from "../dom.js";
import { sentenceOfError } from "../sentences.js";

export class Dialler {
  readonly element: HTMLDialogElement;
  readonly #dial: (order: DialOrder) => Promise<Call>;
  readonly #to = h("input", {
    id: "dial-to",
    required: true,
    maxLength: 80,
    autocomplete: "off",
    autocapitalize: "none",
    enterKeyHint: "go",
    data: { testid: "dial-to" },
  });
  readonly #toLabel = h("label", { htmlFor: "dial-to" });
  readonly #name = h("input", {
    id: "dial-name",
    maxLength: 64,
    autocomplete: "off",
    data: { testid: "dial-name" },
  });
  readonly #trunk = h("select", { id: "dial-trunk", data: { testid: "dial-trunk" } });
  readonly #trunkField = h(
    "div",
    { className: "field" },
    h("label", { htmlFor: "dial-trunk" }, "Trunk"),
    this.#trunk,
  );
  readonly #notice = h("p", {
    className: "notice",
    hidden: true,
    role: "alert",
    data: { testid: "dial-notice" },
  });
  readonly #submit = h(
    "button",
    { type: "submit", className: "primary", data: { testid: "dial-submit" } },
    "Call",
  );

  constructor(dial: (order: DialOrder) => Promise<Call>) {
    this.#dial = dial;
    this.#to.spellcheck = false;
    const cancel = h(
      "button",
      { type: "button", onclick: () => this.close(), data: { testid: "dial-cancel" } },
      "Cancel",
    );
    const form = h(
      "form",
      {},
      h("h2", { id: "dial-title" }, "Call somebody into the room"),
      this.#notice,
      h("div", { className: "field" }, this.#toLabel, this.#to),
      this.#trunkField,
      h(
        "div",
        { className: "field" },
        h("label", { htmlFor: "dial-name" }, "Shown to the others as (may be left out)"),
        this.#name,
      ),
      h("div", { className: "dialler-buttons" }, cancel, this.#submit),
    );
    form.onsubmit = (event) => {
      event.preventDefault();
      void this.#call();
    };
    this.element = h("dialog", { className: "dialler", aria: { labelledby: "dial-title" } }, form);
    // Letters are for the fields, not for the keys of the room.
    this.element.onkeydown = (event) => event.stopPropagation();
  }

  open(rights: DialRights): void {
    this.#toLabel.textContent = labelOfTo(rights);
    this.#to.inputMode = rights.users ? "text" : "tel";
    const choices = ways(rights);
    this.#trunk.replaceChildren(...choices.map(({ value, label }) => h("option", { value }, label)));
    this.#trunkField.hidden = choices.length === 0;
    this.#notice.hidden = true;
    this.#to.value = this.#name.value = "";
    // The browser keeps the focus inside, closes it by Escape, and gives the focus back.
    this.element.showModal();
    this.#to.focus();
  }

  close(): void {
    this.element.close();
  }

  async #call(): Promise<void> {
    const order = this.#order();
    const complaint = complaintOf(order.to);
    if (complaint) return this.#complain(complaint);
    this.#submit.disabled = true;
    this.#notice.hidden = true;
    try {
      await this.#dial(order);
      this.close();
    } catch (error) {
      this.#complain(sentenceOfError(error));
    } finally {
      this.#submit.disabled = false;
    }
  }

  #complain(sentence: string): void {
    this.#notice.textContent = sentence;
    this.#notice.hidden = false;
    this.#to.focus();
  }

  #order(): DialOrder {
    const order: DialOrder = { to: callable(this.#to.value) };
    const name = this.#name.value.trim();
    if (name) order.name = name;
    if (!this.#trunkField.hidden && this.#trunk.value !== NO_TRUNK) order.trunk = this.#trunk.value;
    return order;
  }
}
