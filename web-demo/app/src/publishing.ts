// What somebody publishes, in the words of the page.

import type { Participant } from "@tercet/sdk";

/** Their camera is on. */
export function showsFace({ tracks }: Participant): boolean {
  return tracks.some(({ origin }) => origin === "camera");
}

export function sharesScreen({ tracks }: Participant): boolean {
  return tracks.some(({ origin }) => origin === "screen_video");
}

export function sharesSound({ tracks }: Participant): boolean {
  return tracks.some(({ origin }) => origin === "screen");
}
