// Things that want to be known and maybe acted upon, one of each kind at a time: a refused microphone, blocked
// sound, a promotion.

import { h } from "../dom.js";

export interface Action {
  label: string;
  testid: string;
  run(): void;
}

export class Notices {
  readonly element = h("div", { className: "notices", role: "status" });
  readonly #shown = new Map<string, HTMLElement>();

  show(kind: string, sentence: string, action?: Action): void {
    this.clear(kind);
    const button =
      action &&
      h(
        "button",
        { type: "button", onclick: () => action.run(), data: { testid: action.testid } },
        action.label,
      );
    const close = h(
      "button",
      { type: "button", className: "quiet", onclick: () => this.clear(kind), aria: { label: "Dismiss" } },
      "✕",
    );
    const notice = h(
      "div",
      { className: "notice", data: { testid: "notice", kind } },
      h("p", {}, sentence),
      button,
      close,
    );
    this.#shown.set(kind, notice);
    this.element.append(notice);
  }

  has(kind: string): boolean {
    return this.#shown.has(kind);
  }

  clear(kind: string): void {
    this.#shown.get(kind)?.remove();
    this.#shown.delete(kind);
  }
}
