// The console's rules that can be told without a browser.

import { describe, expect, test } from "vitest";
import { judge } from "../src/console/answer.js";
import {
  type ClusterNode,
  compareIds,
  consoleOf,
  type Link,
  type NodeState,
  parseCluster,
} from "../src/console/cluster.js";
import { bend, CARD, DOT, hullOf, type Layout, layOut, type Point } from "../src/console/layout.js";
import { GONE_MS, Memory, newsOf } from "../src/console/memory.js";
import { gradeOf, lossOf, pairUp, rttMsOf, worstOf } from "../src/console/pairs.js";
import { isSendable, takeToken } from "../src/console/token.js";
import { duration, fullnessOf, millis, percent, sentenceOfPair, summaryOf } from "../src/console/words.js";

function node(id: string, fields: Partial<ClusterNode> = {}): ClusterNode {
  return {
    id,
    zone: Number(id.split(".")[0]),
    role: "all",
    state: "up",
    http: null,
    sessions: 0,
    sessionsMax: 100,
    rooms: 0,
    version: "0.1.0",
    boot: "1",
    ...fields,
  };
}

function link(from: string, to: string, fields: Partial<Link> = {}): Link {
  return { from, to, rttMs: 1, loss: 0, upS: null, ...fields };
}

describe("what the server says", () => {
  const said = {
    node: "0.1",
    nodes: [
      { id: "0.10", zone: 0, role: "all", state: "joining", http: null, sessions_max: 0, boot: "2" },
      {
        id: "0.2",
        zone: 0,
        role: "media",
        state: "strained",
        sessions: 3,
        sessions_max: 9,
        rooms: 1,
        boot: "1",
      },
      { id: "0.1", zone: 0, role: "media", state: "asleep", boot: "3" },
    ],
    zones: [],
    links: [{ from: "0.1", to: "0.2", rtt_ms: null, loss: 0.25, up_s: 7 }],
    routes: [{ to: "1", via: "0.2", cost: 21, hops: 2 }],
    rooms: [{ room: "<b>", participants: 2, sessions: 1, tracks: 1, nodes: ["0.10", "0.2"], channels: [] }],
  };

  test("is read, nodes by zone and number, and a state of a version to come is unknown", () => {
    const { node: own, nodes, links, routes, rooms } = parseCluster(said);
    expect(own).toBe("0.1");
    expect(nodes.map(({ id, state }) => [id, state])).toEqual([
      ["0.1", "unknown"],
      ["0.2", "strained"],
      ["0.10", "joining"],
    ]);
    expect(nodes[1]).toMatchObject({ sessions: 3, sessionsMax: 9, rooms: 1, http: null, version: null });
    expect(links).toEqual([{ from: "0.1", to: "0.2", rttMs: null, loss: 0.25, upS: 7 }]);
    expect(routes).toEqual([{ to: "1", via: "0.2", cost: 21, hops: 2 }]);
    expect(rooms).toEqual([{ room: "<b>", participants: 2, sessions: 1, tracks: 1, nodes: ["0.2", "0.10"] }]);
  });

  test("isn't drawn where something else answers", () => {
    for (const nonsense of [null, "<html>", [], {}, { nodes: {}, rooms: [] }]) {
      expect(() => parseCluster(nonsense)).toThrow();
    }
    expect(judge(200, null, true)).toEqual({
      kind: "trouble",
      sentence: "What answers at /v1/cluster isn't a Tercet server.",
    });
  });

  test("is a sentence where it refuses", () => {
    const body = (code: string) => ({ code, message: "so it is" });
    expect(judge(401, body("unauthorized"), false)).toEqual({ kind: "closed", sentence: "" });
    expect(judge(401, body("unauthorized"), true)).toEqual({
      kind: "closed",
      sentence: "This token isn't accepted. The server says: so it is.",
    });
    expect(judge(401, body("token_expired"), true)).toEqual({
      kind: "closed",
      sentence: "This token has expired: make a new one.",
    });
    expect(judge(403, body("forbidden"), true)).toMatchObject({ kind: "closed" });
    // Of the development secret: a token would change nothing.
    expect(judge(403, body("forbidden"), false)).toMatchObject({ kind: "trouble" });
    expect(judge(502, "<html>", true)).toEqual({ kind: "trouble", sentence: "The server answered 502." });
  });
});

test("a node's own console is linked to, and nothing else than a web address is", () => {
  expect(consoleOf("https://a.example.com")).toBe("https://a.example.com/console");
  expect(consoleOf("https://a.example.com/below/")).toBe("https://a.example.com/below/console");
  expect(consoleOf("http://u:p@127.0.0.1:8080/?token=1#2")).toBe("http://127.0.0.1:8080/console");
  for (const none of [null, "", "javascript:alert(1)", "data:text/html,1", "a.example.com"]) {
    expect(consoleOf(none)).toBeNull();
  }
});

test("a token is taken out of the fragment, and never from the query", () => {
  expect(takeToken("https://h/console#token=a.b.c")).toEqual({ token: "a.b.c", href: "https://h/console" });
  expect(takeToken("https://h/console#x=1&token=t")).toEqual({ token: "t", href: "https://h/console#x=1" });
  expect(takeToken("https://h/console#token=")).toEqual({ token: null, href: "https://h/console" });
  expect(takeToken("https://h/console?token=t")).toEqual({ token: null, href: "https://h/console?token=t" });
});

test("what can't stand in a header isn't sent", () => {
  expect(isSendable("eyJ.eyJ._-")).toBe(true);
  for (const token of ["", "a b", "a\nb", "schlüssel"]) expect(isSendable(token)).toBe(false);
});

describe("a node that vanishes", () => {
  test("is gone for thirty seconds, then forgotten", () => {
    const memory = new Memory();
    const states = (nowMs: number, ...nodes: ClusterNode[]) =>
      memory.see(nowMs, nodes).map(({ id, state }) => `${id} ${state}`);
    expect(states(0, node("0.1"), node("0.2"))).toEqual(["0.1 up", "0.2 up"]);
    expect(states(2000, node("0.1"))).toEqual(["0.1 up", "0.2 gone"]);
    expect(states(2000 + GONE_MS - 1, node("0.1"))).toEqual(["0.1 up", "0.2 gone"]);
    expect(states(2000 + GONE_MS, node("0.1"))).toEqual(["0.1 up"]);
  });

  test("is there again when it comes back, and its thirty seconds begin anew", () => {
    const memory = new Memory();
    const [one, two] = [node("0.1"), node("0.2")];
    memory.see(0, [one, two]);
    memory.see(1000, [one]);
    expect(memory.see(2000, [one, two]).map(({ state }) => state)).toEqual(["up", "up"]);
    memory.see(3000, [one]);
    expect(memory.see(3000 + GONE_MS - 1, [one])).toHaveLength(2);
  });

  test("is news, as are another state, a restart and somebody new", () => {
    const before = [node("0.1"), node("0.2"), node("0.3")];
    const draining: NodeState = "draining";
    const after = [
      node("0.1", { boot: "2" }),
      node("0.2", { state: draining }),
      { ...node("0.3"), state: "gone" as const },
      node("0.4"),
    ];
    expect(newsOf(before, after)).toEqual([
      "Node 0.1 was restarted.",
      "Node 0.2 is draining.",
      "Node 0.3 is gone.",
      "Node 0.4 is new.",
    ]);
    expect(newsOf(before, before)).toEqual([]);
  });
});

describe("links", () => {
  test("of both ends are one pair, with the worse of what they measured", () => {
    const links = [
      link("0.10", "0.2", { rttMs: 5, loss: 0.01 }),
      link("0.2", "0.10", { rttMs: 4, loss: 0.06 }),
      link("0.1", "0.2", { rttMs: null }),
    ];
    const pairs = pairUp(links);
    expect(pairs.map(({ a, b }) => `${a} ${b}`)).toEqual(["0.1 0.2", "0.2 0.10"]);
    const [first, second] = pairs as [(typeof pairs)[0], (typeof pairs)[0]];
    expect([rttMsOf(first), rttMsOf(second)]).toEqual([null, 5]);
    expect([lossOf(first), lossOf(second)]).toEqual([0, 0.06]);
    expect(sentenceOfPair(second)).toBe(
      "Link 0.2 – 0.10: round trip 5.0 ms, 6.0 % lost from 0.2 to 0.10, 1.0 % lost from 0.10 to 0.2",
    );
    expect(sentenceOfPair(first)).toBe("Link 0.1 – 0.2: round trip –, 0 % lost from 0.1 to 0.2");
  });

  test("are clean, lossy or bad, and the worst of too many are kept", () => {
    expect([0, 0.0049, 0.005, 0.049, 0.05, 1].map(gradeOf)).toEqual([
      "clean",
      "clean",
      "lossy",
      "lossy",
      "bad",
      "bad",
    ]);
    const pairs = pairUp([
      link("0.1", "0.2"),
      link("0.1", "0.3", { loss: 0.1 }),
      link("0.1", "0.4", { rttMs: 9 }),
    ]);
    expect(worstOf(pairs, 3)).toEqual(pairs);
    expect(worstOf(pairs, 2).map(({ b }) => b)).toEqual(["0.3", "0.4"]);
  });
});

describe("the layout", () => {
  const many = (count: number, zones: number) =>
    Array.from({ length: count }, (_, index) => ({
      id: `${index % zones}.${Math.floor(index / zones) + 1}`,
      zone: index % zones,
    }));

  /** Those that lie upon another, or stand out of the drawing. */
  function misplaced({ places, width, height, form }: Layout): string[] {
    const [across, down] = form === "card" ? [CARD.width, CARD.height] : [2 * DOT.radius, 2 * DOT.radius];
    const all = [...places];
    return all.flatMap(([id, { x, y }], index) => {
      const outside = x < across / 2 || x > width - across / 2 || y < down / 2 || y > height - down / 2;
      const upon = all
        .slice(index + 1)
        .filter(([, other]) => Math.abs(other.x - x) < across && Math.abs(other.y - y) < down);
      return outside || upon.length > 0 ? [id] : [];
    });
  }

  test.each([
    [1, 1, 1200, "card"],
    [2, 2, 1200, "card"],
    [3, 1, 1200, "card"],
    [3, 3, 330, "card"],
    [9, 3, 1200, "card"],
    [50, 5, 1200, "dot"],
    [50, 1, 330, "dot"],
    [255, 1, 1200, "dot"],
  ])("of %i nodes in %i zones on %i pixels has %ss, none upon another", (count, zones, width, form) => {
    const layout = layOut(many(count, zones), width);
    expect(layout.form).toBe(form);
    expect(layout.places.size).toBe(count);
    expect(layout.zones).toHaveLength(zones);
    expect(layout.width).toBe(width);
    expect(misplaced(layout)).toEqual([]);
  });

  test("has a place on a page of no width, and for no node", () => {
    expect(misplaced(layOut(many(3, 1), 0))).toEqual([]);
    expect(layOut([], 500).height).toBe(0);
  });

  test("keeps a zone together: nobody else's node is within its outline", () => {
    const nodes = many(50, 5);
    const { zones, places } = layOut(nodes, 1200);
    for (const { zone, outline } of zones) {
      for (const other of nodes) {
        const place = places.get(other.id) as Point;
        expect(isWithin(place, outline), `${other.id} in zone ${zone}`).toBe(other.zone === zone);
      }
    }
  });

  test("bends a link towards the middle, and leaves one through it straight", () => {
    const middle = { x: 0, y: 0 };
    expect(bend({ x: -100, y: 0 }, { x: 100, y: 0 }, middle).control).toEqual({ x: 0, y: 0 });
    const { control } = bend({ x: -10, y: -100 }, { x: 10, y: -100 }, middle);
    expect(control.x).toBe(0);
    expect(control.y).toBeCloseTo(-93);
  });

  function isWithin({ x, y }: Point, convex: readonly Point[]): boolean {
    const turns = convex.map((from, index) => {
      const to = convex[(index + 1) % convex.length] as Point;
      return (to.x - from.x) * (y - from.y) - (to.y - from.y) * (x - from.x) >= 0;
    });
    return turns.every(Boolean) || !turns.some(Boolean);
  }
});

test("a hull has the corners and nothing within", () => {
  const square = [
    { x: 0, y: 0 },
    { x: 4, y: 0 },
    { x: 4, y: 4 },
    { x: 0, y: 4 },
  ];
  expect(hullOf([{ x: 1, y: 2 }, ...square, { x: 2, y: 0 }])).toEqual(square);
});

test("numbers are read out shortly", () => {
  expect([0, 0.0004, 0.012, 0.25, 1].map(percent)).toEqual(["0 %", "0.0 %", "1.2 %", "25 %", "100 %"]);
  expect([null, 0.38, 9.96, 31.7].map(millis)).toEqual(["–", "0.4 ms", "10.0 ms", "32 ms"]);
  expect([null, 119, 120, 7200, 172_800].map(duration)).toEqual(["–", "119 s", "2 min", "2 h", "2 d"]);
  expect(fullnessOf(node("0.1", { sessions: 50 }))).toBe(0.5);
  expect(fullnessOf(node("0.1", { sessions: 5, sessionsMax: 0 }))).toBe(0);
  expect(["0.10", "1.1", "0.2"].sort(compareIds)).toEqual(["0.2", "0.10", "1.1"]);
});

test("the line over everything counts who is there, and who is gone apart", () => {
  const cluster = { node: "0.1", nodes: [], links: [], routes: [], rooms: [] };
  const nodes = [
    node("0.1", { sessions: 1200 }),
    { ...node("1.2", { sessions: 9 }), state: "gone" as const },
  ];
  expect(summaryOf(cluster, nodes, 1)).toBe(
    "Seen from 0.1 · 1 node, 1 gone · 1 zone · 1 link · 1,200 sessions",
  );
  expect(summaryOf({ ...cluster, node: null }, [], 0)).toBe("A node by itself");
});
