// The second entry of the package: a room for React. What the SDK tells by events comes out as values that a component renders.

export type { SeenSlot } from "./react/lists.js";
export { useParticipants, useSpeakers, useVideoSlots } from "./react/lists.js";
export type { SlotPicture } from "./react/picture.js";
export { useVideoSlot } from "./react/picture.js";
export type { EnteredRoom, RoomStatus } from "./react/room.js";
export { useRoom } from "./react/room.js";
export type { RoomSound } from "./react/sound.js";
export { useSound } from "./react/sound.js";
