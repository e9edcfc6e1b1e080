// The name, with its mark: three lines, as in a tercet.

import { h } from "../dom.js";

export function wordmark(): HTMLElement {
  const mark = h("span", { className: "mark", ariaHidden: "true" }, h("i"), h("i"), h("i"));
  return h("h1", { className: "wordmark" }, mark, "Tercet");
}
