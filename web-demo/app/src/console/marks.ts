// What is drawn of one node, and of one link: made once, then brought up to date.

import { bend, CARD, DOT, type Form, type Point } from "./layout.js";
import type { ShownNode } from "./memory.js";
import { gradeOf, lossOf, type Pair } from "./pairs.js";
import { s, set, write } from "./svg.js";
import { count, fullnessOf, loadOf, SIGNS, sentenceOfNode, sentenceOfPair } from "./words.js";

export interface NodeMark {
  element: SVGGElement;
  form: Form;
  show(node: ShownNode, place: Point, own: string | null): void;
}

export interface LinkMark {
  element: SVGGElement;
  show(pair: Pair, from: Point, to: Point, centre: Point): void;
}

export function nodeMark(parent: SVGElement, id: string, form: Form): NodeMark {
  const element = s("g", {
    class: "node",
    role: "img",
    "data-testid": "node",
    "data-kind": "node",
    "data-key": id,
  });
  const fill = form === "card" ? card(element, id) : dot(element, id);
  parent.append(element);
  return {
    element,
    form,
    show(node, { x, y }, own) {
      set(element, {
        transform: `translate(${x} ${y})`,
        "data-state": node.state,
        "data-own": String(node.id === own),
        "aria-label": sentenceOfNode(node, own),
      });
      fill(node, own);
    },
  };
}

type Fill = (node: ShownNode, own: string | null) => void;

/** Its name and state, role and rooms, a bar of its sessions and how many they are. */
function card(element: SVGGElement, id: string): Fill {
  const { width, height } = CARD;
  const [left, right, top] = [-width / 2 + 12, width / 2 - 12, -height / 2];
  const state = s("text", { class: "state", x: right, y: top + 21, "text-anchor": "end" });
  const role = s("text", { class: "small", x: left, y: top + 38 });
  const bar = s("rect", { class: "bar", x: left, y: top + 46, height: 5, rx: 2.5, width: 0 });
  const figures = s("text", { class: "small", x: left, y: top + 66 });
  element.append(
    s("rect", { class: "body", x: -width / 2, y: top, width, height, rx: 10 }),
    s("text", { class: "name", x: left, y: top + 21 }, id),
    state,
    role,
    s("rect", { class: "trough", x: left, y: top + 46, width: right - left, height: 5, rx: 2.5 }),
    bar,
    figures,
  );
  return (node, own) => {
    write(state, `${SIGNS[node.state]} ${node.state}`);
    write(role, `${node.role} · ${count(node.rooms, "room")}`);
    set(bar, { width: barWidth(node, right - left) });
    write(figures, node.id === own ? `${loadOf(node)} · asked` : loadOf(node));
  };
}

/** A sign, the bar and the name. */
function dot(element: SVGGElement, id: string): Fill {
  const { radius } = DOT;
  const width = 2 * radius;
  const sign = s("text", { class: "state", y: 5, "text-anchor": "middle" });
  const bar = s("rect", { class: "bar", x: -radius, y: radius + 3, height: 4, rx: 2, width: 0 });
  element.append(
    s("circle", { class: "body", r: radius }),
    sign,
    s("rect", { class: "trough", x: -radius, y: radius + 3, width, height: 4, rx: 2 }),
    bar,
    s("text", { class: "small name", y: radius + 19, "text-anchor": "middle" }, id),
  );
  return (node) => {
    write(sign, SIGNS[node.state]);
    set(bar, { width: barWidth(node, width) });
  };
}

/** One session of thousands is seen. */
function barWidth(node: ShownNode, width: number): number {
  return node.sessions > 0 ? Math.max(3, fullnessOf(node) * width) : 0;
}

export function linkMark(parent: SVGElement, key: string): LinkMark {
  const line = s("path", { class: "line" });
  // As wide as a pointer needs it.
  const reach = s("path", { class: "reach" });
  const element = s(
    "g",
    {
      class: "link",
      role: "img",
      tabindex: -1,
      "data-testid": "link",
      "data-kind": "link",
      "data-key": key,
    },
    reach,
    line,
  );
  parent.append(element);
  return {
    element,
    show(pair, from, to, centre) {
      const { control } = bend(from, to, centre);
      const d = `M${from.x} ${from.y}Q${control.x} ${control.y} ${to.x} ${to.y}`;
      set(line, { d });
      set(reach, { d });
      set(element, { "data-grade": gradeOf(lossOf(pair)), "aria-label": sentenceOfPair(pair) });
    },
  };
}
