// Measurements in, one word out.

import type { RoomStats } from "@tercet/sdk";

export type Quality = "good" | "fair" | "poor";

export function qualityOf({
  rttMs,
  lossRatio,
  lossOutRatio,
}: Pick<RoomStats, "rttMs" | "lossRatio" | "lossOutRatio">): Quality {
  const rtt = rttMs ?? 0;
  const loss = Math.max(lossRatio, lossOutRatio ?? 0);
  // Conversation suffers from about 300 ms of mouth to ear, concealment is heard from some percent of loss.
  if (rtt > 400 || loss > 0.08) return "poor";
  if (rtt > 200 || loss > 0.02) return "fair";
  return "good";
}
