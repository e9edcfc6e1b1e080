// Coming back by itself after the server was restarted.

import { TercetError } from "@tercet/sdk";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { mayRejoin, rejoin } from "../src/rejoin.js";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const down = () => Promise.reject(new TercetError("unreachable", "down"));

test("a server that is back after some seconds is entered", async () => {
  const enter = vi.fn(down as () => Promise<string>);
  const rejoined = rejoin(enter);
  await vi.advanceTimersByTimeAsync(8_000);
  expect(enter.mock.calls.length).toBeGreaterThan(3);
  enter.mockResolvedValue("room");
  await vi.advanceTimersByTimeAsync(5_000);
  expect(await rejoined).toBe("room");
});

test("a refusal is final, and so is a server that stays away", async () => {
  const refused = rejoin(() => Promise.reject(new TercetError("room_full", "full")));
  refused.catch(() => {});
  await vi.advanceTimersByTimeAsync(250);
  await expect(refused).rejects.toMatchObject({ code: "room_full" });
  const gone = rejoin(down);
  gone.catch(() => {});
  await vi.advanceTimersByTimeAsync(60_000);
  await expect(gone).rejects.toMatchObject({ code: "unreachable" });
});

test("a server at its limit is left alone for as long as it asks", async () => {
  const full = new TercetError("overloaded", "at its limit", { retryAfterMs: 20_000 });
  const enter = vi.fn((): Promise<string> => Promise.reject(full));
  const rejoined = rejoin(enter);
  await vi.advanceTimersByTimeAsync(15_000);
  expect(enter).toHaveBeenCalledTimes(1);
  enter.mockResolvedValue("room");
  await vi.advanceTimersByTimeAsync(10_000);
  expect(await rejoined).toBe("room");
});

test("whoever left, was removed or made way doesn't come back by themselves", () => {
  expect(mayRejoin("timed_out")).toBe(true);
  expect(mayRejoin("shutdown")).toBe(true);
  for (const reason of ["left", "removed", "replaced", "failed"] as const) {
    expect(mayRejoin(reason)).toBe(false);
  }
});
