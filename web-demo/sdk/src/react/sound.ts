// The sound of a room: the tracks of its slots, and of a shared screen, are played for as long as a component is there.

import { useEffect, useMemo, useState } from "react";
import type { Room } from "../tercet.js";

export interface RoomSound {
  /** The browser holds the sound back until somebody clicks: offer a button that calls `play`. */
  readonly isBlocked: boolean;
  play(): void;
}

export function useSound(room: Room | null): RoomSound {
  const [isBlocked, setIsBlocked] = useState(false);
  const players = useMemo(() => new Players(room, setIsBlocked), [room]);
  useEffect(() => players.begin(), [players]);
  return { isBlocked, play: () => players.play() };
}

class Players {
  readonly #room: Room | null;
  readonly #blocked: (isBlocked: boolean) => void;
  #elements: HTMLAudioElement[] = [];

  constructor(room: Room | null, blocked: (isBlocked: boolean) => void) {
    this.#room = room;
    this.#blocked = blocked;
  }

  /** Returns how to end it. */
  begin(): () => void {
    const room = this.#room;
    if (!room) return () => {};
    this.#elements = [...room.slots, room.screen].map(() => new Audio());
    this.#follow();
    // The tracks are new ones where the peer connection had to be.
    const endings = [room.on("slots", () => this.#follow()), room.on("screen", () => this.#follow())];
    return () => {
      for (const end of endings) end();
      for (const element of this.#elements) element.srcObject = null;
    };
  }

  play(): void {
    this.#blocked(false);
    for (const element of this.#elements) this.#play(element);
  }

  #follow(): void {
    if (!this.#room) return;
    const tracks = [...this.#room.slots, this.#room.screen].map(({ track }) => track);
    this.#elements.forEach((element, index) => {
      const [playing] = (element.srcObject as MediaStream | null)?.getTracks() ?? [];
      const track = tracks[index];
      if (!track || playing === track) return;
      element.srcObject = new MediaStream([track]);
      this.#play(element);
    });
  }

  #play(element: HTMLAudioElement): void {
    element.play()?.catch((error: unknown) => {
      // Any other error is of a track that was replaced meanwhile.
      if (error instanceof DOMException && error.name === "NotAllowedError") this.#blocked(true);
    });
  }
}
