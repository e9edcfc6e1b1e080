// The rules of the page that can be told without a browser.

import type { Participant, Role } from "@tercet/sdk";
import { expect, test } from "vitest";
import { claimsOf } from "../src/access.js";
import { inviteTo, readAddress, serverOf, withRoom } from "../src/address.js";
import { heightOf } from "../src/loudness.js";
import { levelOf } from "../src/meter.js";
import { qualityOf } from "../src/quality.js";
import { rank, type Seen, STAGE_MAX } from "../src/ranking.js";
import { sentenceOfMore } from "../src/sentences.js";

function seen(id: string, role: Role, fields: Partial<Seen> = {}): Seen {
  return { participant: { id, role } as Participant, arrival: Number(id), hand: 0, heardAt: 0, ...fields };
}

const ids = (list: readonly Seen[]) => list.map(({ participant }) => participant.id);

test("hands come first on stage, in the order in which they were raised", () => {
  const everybody = [
    seen("1", "moderator"),
    seen("2", "listener", { hand: 9 }),
    seen("3", "speaker", { hand: 8 }),
    seen("4", "listener"),
  ];
  const { stage, rest } = rank(everybody, "1");
  expect(ids(stage)).toEqual(["3", "2", "1"]);
  expect(ids(rest)).toEqual(["4"]);
});

test("a listener sees themselves on stage", () => {
  expect(ids(rank([seen("1", "speaker"), seen("2", "listener")], "2").stage)).toEqual(["1", "2"]);
});

test("on a full stage who was heard lately stays, and the order is still that of arrival", () => {
  const everybody = Array.from({ length: STAGE_MAX + 10 }, (_, i) => seen(String(i), "speaker"));
  const last = everybody.at(-1) as Seen;
  last.heardAt = 1000;
  const { stage, rest } = rank(everybody, "0");
  expect(stage).toHaveLength(STAGE_MAX);
  expect(rest).toHaveLength(10);
  expect(ids(stage)[0]).toBe("0");
  expect(ids(stage).at(-1)).toBe(last.participant.id);
});

test("a list that isn't of everybody says how many more there are, and where", () => {
  expect(sentenceOfMore(0, 0)).toBe("");
  expect(sentenceOfMore(20, 0)).toBe("and 20 more: the search finds them");
  expect(sentenceOfMore(0, 1)).toBe("and 1 more, who only listens and isn't listed");
  expect(sentenceOfMore(20, 900)).toBe(
    "and 20 more: the search finds them; and 900 more, who only listen and aren't listed",
  );
});

test("the quality is that of the worst of delay and loss", () => {
  const of = (rttMs: number | null, lossRatio: number, lossOutRatio: number | null = null) =>
    qualityOf({ rttMs, lossRatio, lossOutRatio });
  expect(of(null, 0)).toBe("good");
  expect(of(200, 0.02)).toBe("good");
  expect(of(201, 0)).toBe("fair");
  expect(of(20, 0.03)).toBe("fair");
  expect(of(20, 0, 0.09)).toBe("poor");
  expect(of(401, 0)).toBe("poor");
});

test("the address says what is asked for, and an invitation leaves token and tone out", () => {
  const href = "https://h/demo/?room=a%20b&token=t&tone=440&gain=3";
  expect(readAddress(href)).toEqual({ room: "a b", token: "t", toneHz: 440, gain: 1 });
  expect(readAddress("https://h/")).toEqual({ room: "", token: null, toneHz: null, gain: 0.5 });
  expect(inviteTo(href, "a b")).toBe("https://h/demo/?room=a+b");
  expect(withRoom("https://h/?tone=1", "r")).toBe("https://h/?tone=1&room=r");
  expect(serverOf(href)).toBe("https://h/demo");
});

test("a token's claims are read, whatever their alphabet, and nonsense is none", () => {
  const payload = btoa(
    String.fromCharCode(...new TextEncoder().encode('{"sub":"zoe","name":"Zoë","room":"r?>"}')),
  );
  const token = `x.${payload.replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "")}.y`;
  expect(claimsOf(token)).toEqual({ room: "r?>", name: "Zoë", role: "speaker" });
  expect(claimsOf("nonsense")).toBeNull();
});

test("a sine at full scale is 3 dB below the overload point, silence is -127", () => {
  const sine = Float32Array.from({ length: 4800 }, (_, i) => Math.sin((2 * Math.PI * 440 * i) / 48_000));
  expect(levelOf(sine)).toBe(-3);
  expect(levelOf(new Float32Array(2048))).toBe(-127);
  expect(heightOf(-127)).toBe(0);
  expect(heightOf(0)).toBe(1);
});
