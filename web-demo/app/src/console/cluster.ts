// JSON of `GET /v1/cluster` in, types that the page can draw out. Of another version something may be missing, and
// becomes nothing or zero; what isn't a description of a cluster at all is an error.

/** What a node says of itself; `joining` until it has. `unknown` is of a version to come. */
export type NodeState = "up" | "draining" | "strained" | "joining" | "unknown";

export interface ClusterNode {
  /** Zone and number: `1.2`. */
  id: string;
  zone: number;
  role: string;
  state: NodeState;
  /** Where clients reach it. */
  http: string | null;
  sessions: number;
  sessionsMax: number;
  rooms: number;
  version: string | null;
  /** Which life of it. */
  boot: string;
}

/** As `from` measures it. */
export interface Link {
  from: string;
  to: string;
  rttMs: number | null;
  /** Of datagrams from one to the other, this part is lost: 0 to 1. */
  loss: number;
  upS: number | null;
}

export interface Route {
  /** A node of the same zone, `1.2`, or another zone, `2`. */
  to: string;
  via: string;
  cost: number;
  hops: number;
}

export interface Room {
  room: string;
  /** On all nodes. */
  participants: number;
  /** On the node that was asked. */
  sessions: number;
  tracks: number;
  nodes: string[];
}

export interface Cluster {
  /** The node that was asked; `null` where it is by itself. */
  node: string | null;
  nodes: ClusterNode[];
  links: Link[];
  routes: Route[];
  rooms: Room[];
}

type Fields = Record<string, unknown>;

const STATES: readonly string[] = ["up", "draining", "strained", "joining"];

/** Throws where this isn't what a Tercet server says of its cluster. */
export function parseCluster(json: unknown): Cluster {
  if (!isFields(json) || !Array.isArray(json.nodes) || !Array.isArray(json.rooms)) {
    throw new TypeError("not the description of a cluster");
  }
  return {
    node: textOrNull(json.node),
    nodes: list(json.nodes).map(nodeOf).sort(byId),
    links: list(json.links).map(linkOf),
    routes: list(json.routes).map(routeOf),
    rooms: list(json.rooms).map(roomOf),
  };
}

/** By zone and number: `0.2` is before `0.10`. */
export function compareIds(a: string, b: string): number {
  const [zoneA = 0, nodeA = 0] = a.split(".").map(Number);
  const [zoneB = 0, nodeB = 0] = b.split(".").map(Number);
  return zoneA - zoneB || nodeA - nodeB || (a < b ? -1 : a > b ? 1 : 0);
}

export function byId(a: { id: string }, b: { id: string }): number {
  return compareIds(a.id, b.id);
}

/** The console of another node. Only the web's own schemes: `javascript:` is an address as well. */
export function consoleOf(http: string | null): string | null {
  if (!http || !URL.canParse(http)) return null;
  const url = new URL(http);
  if (url.protocol !== "https:" && url.protocol !== "http:") return null;
  url.search = url.hash = url.username = url.password = "";
  url.pathname = `${url.pathname.replace(/\/$/, "")}/console`;
  return url.href;
}

function nodeOf(node: Fields): ClusterNode {
  return {
    id: text(node.id),
    zone: number(node.zone),
    role: text(node.role),
    state: STATES.includes(text(node.state)) ? (node.state as NodeState) : "unknown",
    http: textOrNull(node.http),
    sessions: number(node.sessions),
    sessionsMax: number(node.sessions_max),
    rooms: number(node.rooms),
    version: textOrNull(node.version),
    boot: text(node.boot),
  };
}

function linkOf({ from, to, rtt_ms, loss, up_s }: Fields): Link {
  return {
    from: text(from),
    to: text(to),
    rttMs: numberOrNull(rtt_ms),
    loss: number(loss),
    upS: numberOrNull(up_s),
  };
}

function routeOf({ to, via, cost, hops }: Fields): Route {
  return { to: text(to), via: text(via), cost: number(cost), hops: number(hops) };
}

function roomOf({ room, participants, sessions, tracks, nodes }: Fields): Room {
  return {
    room: text(room),
    participants: number(participants),
    sessions: number(sessions),
    tracks: number(tracks),
    nodes: (Array.isArray(nodes) ? nodes : []).map(text).sort(compareIds),
  };
}

function isFields(value: unknown): value is Fields {
  return typeof value === "object" && value !== null;
}

function list(value: unknown): Fields[] {
  return Array.isArray(value) ? value.filter(isFields) : [];
}

function text(value: unknown): string {
  return typeof value === "string" ? value : "";
}

function textOrNull(value: unknown): string | null {
  return typeof value === "string" ? value : null;
}

function number(value: unknown): number {
  return numberOrNull(value) ?? 0;
}

function numberOrNull(value: unknown): number | null {
  return typeof value === "number" && Number.isFinite(value) ? value : null;
}
