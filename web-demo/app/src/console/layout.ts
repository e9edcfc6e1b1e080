// Nodes and the width that there is in, where everything stands out: all on one ellipse, zone by zone, so that no link
// passes below a node. A few nodes are cards, many are dots. Units are CSS pixels: text keeps its size.

import { byId } from "./cluster.js";

export interface Point {
  x: number;
  y: number;
}

export interface ZonePlace {
  zone: number;
  /** What lies around its nodes; convex. */
  outline: Point[];
  /** Where its name begins, over its topmost node. */
  label: Point;
}

export interface Layout {
  width: number;
  height: number;
  form: Form;
  /** Of the ellipse. */
  middle: Point;
  places: Map<string, Point>;
  zones: ZonePlace[];
}

export type Form = "card" | "dot";

interface Size {
  /** What a node takes, its texts included, from its place. */
  left: number;
  top: number;
  bottom: number;
  gap: number;
}

export const CARD = { width: 156, height: 76 } as const;
export const DOT = { radius: 15 } as const;

const SIZES: Record<Form, Size> = {
  card: { left: CARD.width / 2, top: CARD.height / 2 + 22, bottom: CARD.height / 2, gap: 18 },
  dot: { left: 25, top: DOT.radius + 2, bottom: DOT.radius + 20, gap: 4 },
};

/** Around the outlines. */
const MARGIN = 22;
/** Between two zones, in places. */
const ZONE_GAP = 0.6;
const CARD_AXIS_X_MAX = 460;
const CARD_AXIS_Y_MAX = 340;
const AXIS_Y_MIN = 110;
const AXIS_Y_STEP = 20;

export function layOut(nodes: readonly { id: string; zone: number }[], width: number): Layout {
  if (nodes.length === 0) {
    return { width, height: 0, form: "card", middle: { x: 0, y: 0 }, places: new Map(), zones: [] };
  }
  const sorted = [...nodes].sort(byId);
  for (const form of ["card", "dot"] as const) {
    const axisX = axisXOf(form, width);
    const highest = form === "card" ? CARD_AXIS_Y_MAX : AXIS_Y_MIN + AXIS_Y_STEP * sorted.length * 4;
    for (let axisY = sorted.length > 1 ? AXIS_Y_MIN : 0; axisY <= highest; axisY += AXIS_Y_STEP) {
      const places = placesOn(sorted, axisX, axisY);
      if (axisX >= 0 && isFree([...places.values()], SIZES[form])) {
        return finish(sorted, places, form, width);
      }
    }
  }
  // A page too narrow for dots on an ellipse: it can be scrolled.
  return layOut(nodes, width + 200);
}

function axisXOf(form: Form, width: number): number {
  const axisX = width / 2 - SIZES[form].left - MARGIN;
  return form === "card" ? Math.min(axisX, CARD_AXIS_X_MAX) : axisX;
}

/** Places around zero. The first zone's middle is at the left, and it goes on clockwise. */
function placesOn(nodes: readonly { id: string; zone: number }[], axisX: number, axisY: number) {
  const places = new Map<string, Point>();
  const zones = new Set(nodes.map(({ zone }) => zone));
  const first = nodes.filter(({ zone }) => zone === nodes[0]?.zone).length;
  const gap = zones.size > 1 ? ZONE_GAP : 0;
  const length = nodes.length + gap * zones.size;
  const at = ellipse(axisX, axisY);
  const seen = new Set<number>();
  nodes.forEach(({ id, zone }, index) => {
    seen.add(zone);
    const turn = (index + gap * (seen.size - 1) - (zones.size > 1 ? (first - 1) / 2 : 0)) / length;
    places.set(id, nodes.length > 1 ? at(turn) : { x: 0, y: 0 });
  });
  return places;
}

/** The point after a part of the way around an ellipse, by length: by angle they would crowd at its ends. */
function ellipse(axisX: number, axisY: number): (turn: number) => Point {
  const steps = 720;
  const pointAt = (step: number): Point => {
    const angle = Math.PI + (2 * Math.PI * step) / steps;
    return { x: axisX * Math.cos(angle), y: axisY * Math.sin(angle) };
  };
  const lengths = [0];
  for (let step = 1; step <= steps; step++) {
    const [from, to] = [pointAt(step - 1), pointAt(step)];
    lengths.push((lengths[step - 1] ?? 0) + Math.hypot(to.x - from.x, to.y - from.y));
  }
  const whole = lengths[steps] ?? 0;
  return (turn) => {
    const wanted = (turn - Math.floor(turn)) * whole;
    const step = lengths.findIndex((length) => length >= wanted);
    const before = lengths[step - 1];
    if (before === undefined) return pointAt(0);
    return pointAt(step - 1 + (wanted - before) / ((lengths[step] ?? wanted) - before));
  };
}

function isFree(places: readonly Point[], { left, top, bottom, gap }: Size): boolean {
  return places.every((one, index) =>
    places
      .slice(index + 1)
      .every(
        (other) =>
          Math.abs(one.x - other.x) >= 2 * left + gap || Math.abs(one.y - other.y) >= top + bottom + gap,
      ),
  );
}

function finish(
  nodes: readonly { id: string; zone: number }[],
  around: ReadonlyMap<string, Point>,
  form: Form,
  width: number,
): Layout {
  const { top, bottom } = SIZES[form];
  const xs = [...around.values()].map(({ x }) => x);
  const ys = [...around.values()].map(({ y }) => y);
  const [west, east] = [Math.min(...xs), Math.max(...xs)];
  const [north, south] = [Math.min(...ys), Math.max(...ys)];
  const labels = form === "dot" ? 20 : 0;
  const middle = { x: (width - west - east) / 2, y: MARGIN + labels + top - north };
  const height = middle.y + south + bottom + MARGIN;
  const places = new Map<string, Point>();
  for (const [id, { x, y }] of around) places.set(id, { x: x + middle.x, y: y + middle.y });
  const zones = [...new Set(nodes.map(({ zone }) => zone))].map((zone) => {
    const members = nodes.filter((node) => node.zone === zone);
    const points = members.map(({ id }) => places.get(id) as Point);
    return { zone, ...outlineOf(points, form) };
  });
  return { width, height, form, middle, places, zones };
}

function outlineOf(points: readonly Point[], form: Form): Omit<ZonePlace, "zone"> {
  const { left, top, bottom } = SIZES[form];
  const corners = points.flatMap(({ x, y }) => [
    { x: x - left, y: y - top },
    { x: x + left, y: y - top },
    { x: x + left, y: y + bottom },
    { x: x - left, y: y + bottom },
  ]);
  const topmost = points.reduce((best, point) => (point.y < best.y ? point : best));
  // Cards leave room for it, dots are too close to each other.
  const label =
    form === "card"
      ? { x: topmost.x - left + 2, y: topmost.y - top + 14 }
      : { x: topmost.x - left, y: topmost.y - top - 12 };
  return { outline: hullOf(corners), label };
}

/** The convex hull, by Andrew's monotone chain. */
export function hullOf(points: readonly Point[]): Point[] {
  const sorted = [...points].sort((p, q) => p.x - q.x || p.y - q.y);
  const half = (ordered: readonly Point[]) => {
    const chain: Point[] = [];
    for (const point of ordered) {
      while (chain.length > 1 && !turnsLeft(chain.at(-2) as Point, chain.at(-1) as Point, point)) chain.pop();
      chain.push(point);
    }
    return chain.slice(0, -1);
  };
  return [...half(sorted), ...half([...sorted].reverse())];
}

function turnsLeft(a: Point, b: Point, c: Point): boolean {
  return (b.x - a.x) * (c.y - a.y) - (b.y - a.y) * (c.x - a.x) > 0;
}

/** A link bends towards the middle, away from the nodes between its ends. */
export function bend(from: Point, to: Point, centre: Point): { control: Point; middle: Point } {
  const x = (from.x + to.x) / 2;
  const y = (from.y + to.y) / 2;
  const inwards = Math.hypot(centre.x - x, centre.y - y);
  const chord = Math.hypot(to.x - from.x, to.y - from.y);
  const pull = inwards > 0 ? Math.min(0.3, (0.35 * chord) / inwards) : 0;
  const control = { x: x + (centre.x - x) * pull, y: y + (centre.y - y) * pull };
  return { control, middle: { x: (x + control.x) / 2, y: (y + control.y) / 2 } };
}
