// The tools of the stage: which view, numbers over the pictures, a window of its own. They show a state and only call back.

import { h, ICONS, icon } from "../dom.js";
import { Floating } from "./floating.js";

export type View = "focus" | "grid";

export interface ToolHandlers {
  view(view: View): void;
  numbers(): void;
  float(): void;
}

export class Tools {
  readonly element: HTMLElement;
  readonly #views: Record<View, HTMLButtonElement>;
  readonly #numbers: HTMLButtonElement;
  readonly #float: HTMLButtonElement;

  constructor(handlers: ToolHandlers) {
    this.#views = {
      focus: tool("view-focus", ICONS.focus, "One large", () => handlers.view("focus")),
      grid: tool("view-grid", ICONS.grid, "All in a grid", () => handlers.view("grid")),
    };
    for (const button of Object.values(this.#views)) button.setAttribute("aria-keyshortcuts", "G");
    this.#numbers = tool("numbers", ICONS.stats, "Numbers over the pictures", handlers.numbers);
    this.#numbers.setAttribute("aria-keyshortcuts", "S");
    this.#float = tool("float", ICONS.float, "Whoever speaks in a small window", handlers.float);
    this.#float.setAttribute("aria-keyshortcuts", "P");
    this.#float.hidden = !Floating.isPossible;
    this.hasNumbers = false;
    this.element = h(
      "div",
      { className: "tools", role: "toolbar", aria: { label: "View" } },
      h("div", { className: "tool-choice" }, this.#views.focus, this.#views.grid),
      this.#numbers,
      this.#float,
    );
  }

  show(view: View, floats: boolean): void {
    for (const [name, button] of Object.entries(this.#views)) button.ariaPressed = String(name === view);
    this.#float.ariaPressed = String(floats);
  }

  get hasNumbers(): boolean {
    return this.#numbers.ariaPressed === "true";
  }

  set hasNumbers(has: boolean) {
    this.#numbers.ariaPressed = String(has);
  }
}

function tool(testid: string, strokes: string, label: string, onclick: () => void): HTMLButtonElement {
  const properties = { type: "button", className: "tool", title: label, ariaLabel: label, onclick } as const;
  return h("button", { ...properties, data: { testid } }, icon(strokes));
}
