// Measurements of a picture in, the lines that stand over it out.

import type { SentVideoStats, VideoSlotStats } from "@tercet/sdk";

export function linesOfReceived(stats: VideoSlotStats): string[] {
  const loss = (stats.lossRatio * 100).toFixed(1);
  return [`${sizeOf(stats)} · ${rateOf(stats)}`, `${kbpsOf(stats)} kbit/s · ${loss} % lost`];
}

/** Of a picture that is sent: a line each of its sizes, the largest first. */
export function linesOfSent(sizes: readonly SentVideoStats[]): string[] {
  return sizes
    .filter(({ framesPerSecond }) => framesPerSecond > 0)
    .toSorted((a, b) => b.width * b.height - a.width * a.height)
    .map((size) => `${sizeOf(size)} · ${rateOf(size)} · ${kbpsOf(size)} kbit/s`);
}

function sizeOf({ width, height }: { width: number; height: number }): string {
  return height > 0 ? `${width}×${height}` : "–";
}

function rateOf({ framesPerSecond }: { framesPerSecond: number }): string {
  return `${framesPerSecond.toFixed(0)} fps`;
}

function kbpsOf({ bitrateBps }: { bitrateBps: number }): string {
  return (bitrateBps / 1000).toFixed(0);
}
