// A video slot in a `<video>`: its track is played, and how high it is drawn is told to the room.

import { type RefCallback, useEffect, useState } from "react";
import { observeView, type Room } from "../tercet.js";
import { type SeenSlot, useVideoSlots } from "./lists.js";

export interface SlotPicture extends Pick<SeenSlot, "participant" | "origin"> {
  /** For the `<video>` that shows the slot: it plays by itself. */
  readonly ref: RefCallback<HTMLVideoElement>;
  /** Whether the frames in it are the participant's by now: until then those of somebody else may go on. */
  readonly isShown: boolean;
}

/** How often a browser is asked that doesn't tell of frames. */
const LOOK_MS = 100;

const observers = new WeakMap<Room, ReturnType<typeof observeView>>();

export function useVideoSlot(room: Room | null, index: number): SlotPicture {
  const { participant = null, origin = "camera", track = null } = useVideoSlots(room)[index] ?? {};
  const [element, setElement] = useState<HTMLVideoElement | null>(null);
  const [shown, setShown] = useState("");
  // Another participant, another picture of theirs, or another track has yet to come.
  const picture = `${participant?.id} ${origin} ${track?.id}`;

  useEffect(() => {
    if (!element) return;
    Object.assign(element, { muted: true, playsInline: true, srcObject: track && new MediaStream([track]) });
    // Without sound no browser holds it back, and what fails is of a track that was replaced meanwhile.
    if (track) element.play()?.catch(() => {});
  }, [element, track]);

  useEffect(() => {
    if (room && element) return observerOf(room)(element, index);
  }, [room, element, index]);

  useEffect(() => {
    if (!room || !element || !participant) return;
    let isOver = false;
    const look = () => {
      if (isOver) return;
      if (room.videoSlots[index]?.isShown) setShown(picture);
      else wait();
    };
    const wait = () => {
      if ("requestVideoFrameCallback" in element) element.requestVideoFrameCallback(look);
      else setTimeout(look, LOOK_MS);
    };
    wait();
    return () => {
      isOver = true;
    };
  }, [room, element, index, participant, picture]);

  return { ref: setElement, participant, origin, isShown: participant !== null && shown === picture };
}

function observerOf(room: Room): ReturnType<typeof observeView> {
  const observe = observers.get(room) ?? observeView(room);
  observers.set(room, observe);
  return observe;
}
