// Nodes and links in, a drawing out. It is one stop of the Tab key: left and right go from node to node, up and down
// through the links of a node; whatever is pointed at or has the focus is told in a line below.

import { h } from "../dom.js";
import { bend, type Layout, layOut, type Point } from "./layout.js";
import { type LinkMark, linkMark, type NodeMark, nodeMark } from "./marks.js";
import type { ShownNode } from "./memory.js";
import type { Pair } from "./pairs.js";
import { s, set, write } from "./svg.js";
import { count, labelOfPair, sentenceOfNode, sentenceOfPair } from "./words.js";

const HOW = "Left and right go from node to node, up and down through the links of a node.";

/** More labels at once than these lie upon each other. */
const LABELS_MAX = 8;
/** From so many lines on those that are well stand back. */
const DENSE = 150;

type Active = { kind: "node" | "link"; key: string };

export class Graph {
  readonly element: HTMLElement;
  readonly #svg = s("svg", { role: "group", "data-testid": "graph" });
  readonly #zones = s("g", { "aria-hidden": "true" });
  readonly #links = s("g");
  readonly #nodes = s("g");
  readonly #labels = s("g", { "aria-hidden": "true" });
  readonly #told = h("p", { className: "told", data: { testid: "told" } });
  readonly #canvas = h("div", { className: "canvas" }, this.#svg);
  readonly #nodeMarks = new Map<string, NodeMark>();
  readonly #linkMarks = new Map<string, LinkMark>();
  #shown: { nodes: readonly ShownNode[]; pairs: readonly Pair[]; own: string | null } = {
    nodes: [],
    pairs: [],
    own: null,
  };
  #layout: Layout = layOut([], 0);
  #arrangement = "";
  #pointed: Active | null = null;
  #focused: Active | null = null;
  /** Where the Tab key leads to. */
  #stop = "";

  constructor() {
    this.#svg.append(this.#zones, this.#links, this.#labels, this.#nodes);
    this.element = h("div", { className: "graph" }, this.#canvas, this.#told);
    // Not on the drawing itself: Chromium gives the focus to SVG that listens to it.
    this.#canvas.addEventListener("pointerover", (event) => this.#point(activeOf(event.target)));
    this.#canvas.addEventListener("pointerleave", () => this.#point(null));
    this.#canvas.addEventListener("focusin", (event) => this.#focus(activeOf(event.target)));
    this.#canvas.addEventListener("focusout", () => this.#focus(null));
    this.#canvas.addEventListener("keydown", (event) => this.#steer(event));
    new ResizeObserver(() => this.#draw()).observe(this.#canvas);
  }

  show(nodes: readonly ShownNode[], pairs: readonly Pair[], own: string | null): void {
    const drawn = new Set(nodes.map(({ id }) => id));
    // A node may still tell of a link to one that nobody else knows any more.
    this.#shown = { nodes, pairs: pairs.filter(({ a, b }) => drawn.has(a) && drawn.has(b)), own };
    this.#draw();
  }

  #draw(): void {
    const hadFocus = this.#svg.contains(document.activeElement);
    this.#arrange();
    this.#drawZones();
    this.#drawNodes();
    this.#drawLinks();
    // What had it is gone: whoever went there by the keyboard isn't sent back to the page's beginning.
    if (hadFocus && !this.#svg.contains(document.activeElement)) {
      this.#nodeMarks.get(this.#stop)?.element.focus();
    }
    this.#tell();
  }

  #arrange(): void {
    const { nodes, pairs } = this.#shown;
    const width = Math.floor(this.#canvas.clientWidth);
    const arrangement = `${width} ${nodes.map(({ id }) => id).join(" ")}`;
    if (arrangement !== this.#arrangement) this.#layout = layOut(nodes, width);
    this.#arrangement = arrangement;
    const { width: drawnWidth, height, form } = this.#layout;
    set(this.#svg, {
      width: drawnWidth,
      height,
      viewBox: `0 0 ${drawnWidth} ${height}`,
      "data-form": form,
      "data-dense": String(pairs.length > DENSE),
      "aria-label": `The cluster: ${count(nodes.length, "node")}. ${HOW} The tables below say the same.`,
    });
  }

  #drawZones(): void {
    const { zones } = this.#layout;
    this.#zones.replaceChildren(
      ...zones.flatMap(({ zone, outline, label }) => [
        s("path", { class: "zone", d: `M${outline.map(({ x, y }) => `${x} ${y}`).join("L")}Z` }),
        s("text", { class: "zone-name", x: label.x, y: label.y }, `Zone ${zone}`),
      ]),
    );
  }

  #drawNodes(): void {
    const { nodes, own } = this.#shown;
    const { form, places } = this.#layout;
    const make = (id: string) => nodeMark(this.#nodes, id, form);
    keep(
      this.#nodeMarks,
      nodes.map(({ id }) => id),
      make,
      (mark) => mark.form === form,
    );
    for (const node of nodes) this.#nodeMarks.get(node.id)?.show(node, places.get(node.id) as Point, own);
    this.#stopAt(this.#nodeMarks.has(this.#stop) ? this.#stop : (own ?? nodes[0]?.id ?? ""));
  }

  #drawLinks(): void {
    const { pairs } = this.#shown;
    const make = (key: string) => linkMark(this.#links, key);
    keep(
      this.#linkMarks,
      pairs.map(({ key }) => key),
      make,
    );
    const { middle } = this.#layout;
    for (const pair of pairs) this.#linkMarks.get(pair.key)?.show(pair, ...this.#ends(pair), middle);
  }

  #stopAt(node: string): void {
    this.#stop = node;
    for (const [id, mark] of this.#nodeMarks) set(mark.element, { tabindex: id === node ? 0 : -1 });
  }

  #ends({ a, b }: Pair): [Point, Point] {
    return [this.#layout.places.get(a) as Point, this.#layout.places.get(b) as Point];
  }

  #point(active: Active | null): void {
    this.#pointed = active;
    this.#tell();
  }

  #focus(active: Active | null): void {
    this.#focused = active;
    if (active?.kind === "node") this.#stopAt(active.key);
    this.#tell();
  }

  /** The line below, the labels, and what stands out. */
  #tell(): void {
    const active = this.#pointed ?? this.#focused;
    const { nodes, pairs, own } = this.#shown;
    const told = pairs.filter(({ key, a, b }) =>
      active?.kind === "link" ? key === active.key : a === active?.key || b === active?.key,
    );
    const node = active?.kind === "node" ? nodes.find(({ id }) => id === active.key) : undefined;
    const sentences = node ? [sentenceOfNode(node, own)] : [];
    if (told.length <= LABELS_MAX) sentences.push(...told.map(sentenceOfPair));
    else sentences.push(`${told.length} links: the table below has them`);
    write(
      this.#told,
      active && sentences.length > 0
        ? `${sentences.join(". ")}.`
        : "Point at a node or a link, or go there by Tab and the arrow keys.",
    );
    const standsOut = new Set(told.map(({ key }) => key));
    for (const [key, mark] of this.#linkMarks) mark.element.classList.toggle("active", standsOut.has(key));
    set(this.#svg, { "data-active": active ? active.kind : "" });
    this.#labels.replaceChildren(
      ...(told.length > LABELS_MAX ? [] : told).map((pair) => {
        const { middle } = bend(...this.#ends(pair), this.#layout.middle);
        return s("text", { class: "link-label", x: middle.x, y: middle.y - 7 }, labelOfPair(pair));
      }),
    );
  }

  #steer(event: KeyboardEvent): void {
    const active = activeOf(event.target);
    if (!active) return;
    const sideways = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    const through = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    const ids = this.#shown.nodes.map(({ id }) => id);
    const links = this.#shown.pairs.filter(({ a, b }) => a === this.#stop || b === this.#stop);
    const keys = links.map(({ key }) => key);
    if (sideways) this.#nodeMarks.get(turned(ids, this.#stop, sideways))?.element.focus();
    else if (through) {
      // A node's own place is one of the round: whoever went through its links is back.
      const round = [this.#stop, ...keys];
      const next = turned(round, active.key, through);
      (this.#linkMarks.get(next) ?? this.#nodeMarks.get(next))?.element.focus();
    } else if (event.key === "Escape" && active.kind === "link") {
      this.#nodeMarks.get(this.#stop)?.element.focus();
    } else return;
    event.preventDefault();
  }
}

function activeOf(target: EventTarget | null): Active | null {
  const mark = target instanceof Element ? target.closest<SVGElement>("[data-kind]") : null;
  if (!mark) return null;
  return { kind: mark.dataset.kind as Active["kind"], key: mark.dataset.key ?? "" };
}

function turned(round: readonly string[], from: string, by: number): string {
  const index = round.indexOf(from);
  return round[(index + by + round.length) % round.length] ?? from;
}

/** Marks for exactly these keys: who stays keeps the focus. */
function keep<M extends { element: SVGElement }>(
  marks: Map<string, M>,
  keys: readonly string[],
  make: (key: string) => M,
  fits: (mark: M) => boolean = () => true,
): void {
  const wanted = new Set(keys);
  for (const [key, mark] of marks) {
    if (wanted.has(key) && fits(mark)) continue;
    mark.element.remove();
    marks.delete(key);
  }
  for (const key of keys) if (!marks.has(key)) marks.set(key, make(key));
}
