// In which order the slots are listed: those that are heard first, in the order in which they began, then the empty
// ones. The number of a slot tells people nothing, and which are free even less.

import type { Slot } from "@tercet/sdk";

/** `before`: the indexes of the slots as they are listed now. Whoever is heard on stays above those who come later. */
export function seat(
  before: readonly number[],
  slots: readonly Slot[],
  heard: ReadonlySet<number>,
): number[] {
  const isTaken = (index: number) => slots[index]?.participant != null;
  const taken = before.filter(isTaken);
  return [
    ...taken.filter((index) => heard.has(index)),
    ...taken.filter((index) => !heard.has(index)),
    ...before.filter((index) => !isTaken(index)),
  ];
}
