// The usual beginning of a story: a room that was entered, and a session that was taken up again.

import { type ConnectOptions, connect, type Room } from "../src/tercet.js";
import { answer, FakePeer, FakeSocket, settle, welcome } from "./fakes.js";

/** The server welcomes the last `hello`, and media connects. */
export async function joined(
  options: Partial<ConnectOptions> = {},
  mids?: string[],
  fields: Record<string, unknown> = {},
): Promise<Room> {
  const promise = connect({ url: "https://example.org/", token: "jwt", ...options });
  FakeSocket.last.open();
  FakeSocket.last.reply("join", welcome(fields));
  await settle();
  FakeSocket.last.reply("offer", answer(mids));
  const room = await promise;
  FakePeer.last.become("connected");
  return room;
}

export async function resumed(fields: Record<string, unknown> = {}): Promise<void> {
  FakeSocket.last.open();
  FakeSocket.last.reply(
    "resume",
    welcome({
      type: "resumed",
      session: { id: "s1", secret: "second", resume_ms: 30_000, idle_ms: 30_000 },
      ...fields,
    }),
  );
  await settle();
}
