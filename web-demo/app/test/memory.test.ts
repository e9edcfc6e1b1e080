// What the page remembers of a tab and of a visit, and what it says when no server is there.

import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { demoToken } from "../src/access.js";
import { recall, remember, rememberInTab } from "../src/preferences.js";
import { sentenceOfError } from "../src/sentences.js";

class FakeStorage {
  readonly #values = new Map<string, string>();
  getItem = (name: string) => this.#values.get(name) ?? null;
  setItem = (name: string, value: string) => void this.#values.set(name, value);
}

beforeEach(() => {
  vi.stubGlobal("localStorage", new FakeStorage());
  vi.stubGlobal("sessionStorage", new FakeStorage());
});
afterEach(() => vi.unstubAllGlobals());

test("a tab keeps its name when another one remembers theirs, and a new tab is offered the latest", () => {
  rememberInTab("name", "Ada");
  remember("name", "Ada");
  remember("name", "Ben");
  expect(recall("name")).toBe("Ada");
  vi.stubGlobal("sessionStorage", new FakeStorage());
  expect(recall("name")).toBe("Ben");
});

test("where storage is forbidden nothing is remembered, and nothing breaks", () => {
  vi.stubGlobal("localStorage", undefined);
  vi.stubGlobal("sessionStorage", undefined);
  rememberInTab("muted", "true");
  expect(recall("muted")).toBe("");
});

test("a server that is down is said to be, not the browser's error", async () => {
  const wish = { room: "r", name: "n", role: "speaker" as const };
  const said = () => demoToken("https://h", wish).catch(sentenceOfError);
  vi.stubGlobal("fetch", () => Promise.reject(new TypeError("Failed to fetch")));
  expect(await said()).toBe("The server can't be reached. Is it running? Try again.");
  vi.stubGlobal("fetch", async () => new Response("<h1>Bad Gateway</h1>", { status: 502 }));
  expect(await said()).toBe("The server can't be reached. Is it running? Try again.");
  vi.stubGlobal("fetch", async () => Response.json({ message: "no demo here" }, { status: 403 }));
  expect(await said()).toBe("no demo here");
});
