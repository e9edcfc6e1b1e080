// A room for as long as a component is there: options come in, the room and how it stands go out.

import { useEffect, useRef, useState } from "react";
import { type ConnectOptions, connect, type Room, type RoomState, TercetError } from "../tercet.js";

/** `idle`: there are no options yet. `failed`: the room wasn't had, and `error` says why. */
export type RoomStatus = "idle" | "connecting" | "failed" | RoomState;

export interface EnteredRoom {
  readonly room: Room | null;
  readonly status: RoomStatus;
  readonly error: TercetError | null;
}

const IDLE: EnteredRoom = { room: null, status: "idle", error: null };
const CONNECTING: EnteredRoom = { room: null, status: "connecting", error: null };

/**
 * Enters the room when there are options, and leaves it with the component, or when their `url` or `token` is another one. The other
 * options count at that moment only: tracks and mutes are changed by the room's methods.
 */
export function useRoom(options: ConnectOptions | null): EnteredRoom {
  const [entered, setEntered] = useState(IDLE);
  const latest = useRef(options);
  const which = options && JSON.stringify([options.url, options.token]);

  useEffect(() => {
    latest.current = options;
  });

  useEffect(() => {
    const { current } = latest;
    if (which === null || current === null) return setEntered(IDLE);
    setEntered(CONNECTING);
    let isOver = false;
    let room: Room | null = null;
    const enter = async () => {
      try {
        const had = await connect(current);
        if (isOver) return void had.leave();
        room = had;
        const show = () => setEntered({ room: had, status: had.state, error: null });
        had.on("statechange", show);
        show();
      } catch (error) {
        if (!isOver) setEntered({ room: null, status: "failed", error: asTercetError(error) });
      }
    };
    // Strict mode takes down at once what it has just put up: a session that would be replaced isn't begun.
    const beginning = setTimeout(() => void enter());
    return () => {
      isOver = true;
      clearTimeout(beginning);
      void room?.leave();
    };
  }, [which]);

  return entered;
}

function asTercetError(error: unknown): TercetError {
  return error instanceof TercetError ? error : new TercetError("failed", String(error), { cause: error });
}
