// The cluster in tables: all that the graph says, and what it can't.

import { h } from "../dom.js";
import { type Cluster, consoleOf, type Room, type Route } from "./cluster.js";
import type { ShownNode } from "./memory.js";
import { type Pair, rttMsOf, worstOf } from "./pairs.js";
import { Table } from "./table.js";
import { count, duration, grouped, loadOf, millis, percent, SIGNS } from "./words.js";

/** A full mesh of fifty nodes has 1,225 links, and a node may have thousands of rooms. */
const ROWS_MAX = 200;

export class Tables {
  readonly element: HTMLElement;
  #own: string | null = null;

  readonly #nodes = new Table<ShownNode>({
    title: "Nodes",
    testid: "nodes",
    key: ({ id }) => id,
    empty: "None.",
    columns: [
      { head: "Node", text: ({ id }) => (id === this.#own ? `${id} (asked)` : id) },
      { head: "Zone", text: ({ zone }) => String(zone), isNumber: true },
      { head: "State", text: ({ state }) => `${SIGNS[state]} ${state}` },
      { head: "Role", text: ({ role }) => role },
      { head: "Sessions", text: loadOf, isNumber: true },
      { head: "Rooms", text: ({ rooms }) => grouped(rooms), isNumber: true },
      { head: "Version", text: ({ version }) => version ?? "–" },
      { head: "Address", text: ({ http }) => http || "–", link: ({ http }) => consoleOf(http) },
    ],
  });

  readonly #links = new Table<Pair>({
    title: "Links",
    testid: "links",
    key: ({ key }) => key,
    empty: "None.",
    columns: [
      { head: "Between", text: ({ a, b }) => `${a} – ${b}` },
      { head: "Round trip", text: (pair) => millis(rttMsOf(pair)), isNumber: true },
      { head: "Lost there", text: ({ there }) => (there ? percent(there.loss) : "–"), isNumber: true },
      { head: "Lost back", text: ({ back }) => (back ? percent(back.loss) : "–"), isNumber: true },
      { head: "Up", text: ({ there, back }) => duration(there?.upS ?? back?.upS ?? null), isNumber: true },
    ],
  });

  readonly #routes = new Table<Route>({
    title: "Routes of this node",
    testid: "routes",
    key: ({ to, via }) => `${to} ${via}`,
    empty: "None.",
    columns: [
      { head: "To", text: ({ to }) => (to.includes(".") ? to : `zone ${to}`) },
      { head: "By way of", text: ({ via }) => via },
      { head: "Cost", text: ({ cost }) => grouped(cost), isNumber: true },
      { head: "Hops", text: ({ hops }) => grouped(hops), isNumber: true },
    ],
  });

  readonly #rooms = new Table<Room>({
    title: "Rooms on this node",
    testid: "rooms",
    key: ({ room }) => room,
    empty: "Nobody is in a room here.",
    columns: [
      { head: "Room", text: ({ room }) => room },
      { head: "Participants", text: ({ participants }) => grouped(participants), isNumber: true },
      { head: "Of them here", text: ({ sessions }) => grouped(sessions), isNumber: true },
      { head: "Tracks", text: ({ tracks }) => grouped(tracks), isNumber: true },
      { head: "Nodes", text: ({ nodes }) => nodes.join(", ") || "this one" },
    ],
  });

  constructor() {
    const tables = [this.#nodes, this.#links, this.#routes, this.#rooms];
    this.element = h("div", { className: "tables" }, ...tables.map(({ element }) => element));
  }

  show(cluster: Cluster, nodes: readonly ShownNode[], pairs: readonly Pair[]): void {
    this.#own = cluster.node;
    for (const { element } of [this.#nodes, this.#links, this.#routes])
      element.hidden = cluster.node === null;
    this.#nodes.show(nodes);
    const worst = worstOf(pairs, ROWS_MAX);
    this.#links.show(worst, more(worst, pairs.length, "link", "the worst"));
    this.#routes.show(cluster.routes);
    const busiest = [...cluster.rooms]
      .sort((x, y) => y.participants - x.participants || (x.room < y.room ? -1 : 1))
      .slice(0, ROWS_MAX);
    this.#rooms.show(busiest, more(busiest, cluster.rooms.length, "room", "the largest"));
  }
}

function more(shown: readonly unknown[], all: number, what: string, which: string): string {
  return shown.length < all ? `${which} ${shown.length} of ${count(all, what)}` : "";
}
