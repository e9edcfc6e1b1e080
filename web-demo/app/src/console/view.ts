// The page: answers in; the cluster, the form for a token or what is wrong out.

import { announce } from "../announcer.js";
import { h } from "../dom.js";
import { wordmark } from "../views/wordmark.js";
import type { Answer } from "./answer.js";
import type { Cluster } from "./cluster.js";
import { Door } from "./door.js";
import { Graph } from "./graph.js";
import { Memory, newsOf, type ShownNode, type ShownState } from "./memory.js";
import { pairUp } from "./pairs.js";
import { write } from "./svg.js";
import { Tables } from "./tables.js";
import { MEANINGS, SIGNS, summaryOf } from "./words.js";

export interface ConsoleOptions {
  /** A token was typed in. */
  enter(token: string): void;
  /** The token is to be forgotten. */
  leave(): void;
}

export class ConsoleView {
  readonly element: HTMLElement;
  readonly #summary = h("p", { className: "summary", tabIndex: -1, data: { testid: "summary" } });
  readonly #asOf = h("p", { className: "hint", data: { testid: "as-of" } });
  readonly #trouble = h("p", {
    className: "notice",
    hidden: true,
    role: "alert",
    data: { testid: "trouble" },
  });
  readonly #alone = h(
    "p",
    { className: "alone", data: { testid: "alone" } },
    "This node is by itself. With ",
    h("code", {}, "--cluster-secret"),
    " it finds others; here are its rooms.",
  );
  readonly #leave: HTMLButtonElement;
  readonly #door: Door;
  readonly #graph = new Graph();
  readonly #tables = new Tables();
  readonly #drawing: HTMLElement;
  readonly #seen: HTMLElement;
  #memory = new Memory();
  #nodes: ShownNode[] | null = null;

  constructor({ enter, leave }: ConsoleOptions) {
    this.#leave = h(
      "button",
      { type: "button", hidden: true, onclick: leave, data: { testid: "forget" } },
      "Forget the token",
    );
    this.#door = new Door(enter);
    this.#drawing = h(
      "section",
      { className: "panel" },
      h("h2", {}, "Cluster"),
      this.#graph.element,
      legend(),
    );
    this.#seen = h(
      "div",
      { className: "seen", hidden: true },
      this.#alone,
      this.#drawing,
      this.#tables.element,
    );
    const header = h(
      "header",
      { className: "top" },
      wordmark(),
      h("div", { className: "figures" }, this.#summary, this.#asOf),
      this.#leave,
    );
    this.element = h("main", { className: "console" }, header, this.#trouble, this.#door.element, this.#seen);
  }

  show(answer: Answer, now: Date, hasToken: boolean): void {
    this.#leave.hidden = !hasToken;
    if (answer.kind === "seen") this.#showCluster(answer.cluster, now);
    else if (answer.kind === "closed") this.#ask(answer.sentence);
    else this.#showTrouble(answer.sentence);
  }

  #showCluster(cluster: Cluster, now: Date): void {
    const nodes = this.#memory.see(now.getTime(), cluster.nodes);
    const pairs = pairUp(cluster.links);
    if (this.#nodes) for (const sentence of newsOf(this.#nodes, nodes)) announce(sentence);
    this.#nodes = nodes;
    const wasAsked = this.#door.close();
    this.#trouble.hidden = true;
    this.#seen.hidden = false;
    this.#seen.classList.remove("stale");
    this.#alone.hidden = cluster.node !== null;
    this.#drawing.hidden = cluster.node === null;
    write(this.#summary, summaryOf(cluster, nodes, pairs.length));
    write(this.#asOf, `As of ${now.toLocaleTimeString()}`);
    this.#graph.show(nodes, pairs, cluster.node);
    this.#tables.show(cluster, nodes, pairs);
    document.title = `${summaryOf(cluster, nodes, pairs.length)} · Tercet`;
    // The form that had the focus is gone.
    if (wasAsked) this.#summary.focus();
  }

  /** Nobody goes on seeing what they may no longer look at. */
  #ask(sentence: string): void {
    this.#memory = new Memory();
    this.#nodes = null;
    this.#seen.hidden = true;
    this.#trouble.hidden = true;
    write(this.#summary, "");
    write(this.#asOf, "");
    document.title = "Console · Tercet";
    this.#door.open(sentence);
  }

  /** What was seen last stays, and is said to be old. */
  #showTrouble(sentence: string): void {
    const old = this.#nodes ? " What is below is old." : "";
    write(this.#trouble, `${sentence} Asking again every 2 s.${old}`);
    this.#trouble.hidden = false;
    this.#seen.classList.add("stale");
  }
}

function legend(): HTMLElement {
  const states: ShownState[] = ["up", "strained", "draining", "joining", "gone"];
  const lines = [
    ["clean", "less than 0.5 % lost"],
    ["lossy", "less than 5 % lost"],
    ["bad", "5 % lost or more"],
  ] as const;
  return h(
    "ul",
    { className: "legend", ariaLabel: "Legend" },
    ...states.map((state) =>
      h(
        "li",
        {},
        h("span", { className: "sign", data: { state }, ariaHidden: "true" }, SIGNS[state]),
        MEANINGS[state],
      ),
    ),
    ...lines.map(([grade, text]) => h("li", {}, h("i", { className: "sample", data: { grade } }), text)),
  );
}
