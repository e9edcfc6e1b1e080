// The measurements as a table: the connection, then each slot, then each video slot.

import type { RoomStats, SlotStats, VideoSlotStats } from "@tercet/sdk";
import { h } from "../dom.js";

export class Stats {
  readonly element = h("section", {
    className: "panel stats",
    hidden: true,
    data: { testid: "stats" },
    aria: { label: "Statistics" },
  });

  get open(): boolean {
    return !this.element.hidden;
  }

  toggle(): boolean {
    this.element.hidden = !this.element.hidden;
    return this.open;
  }

  /** On a narrow screen it is below the people. */
  reveal(): void {
    if (this.open) this.element.scrollIntoView({ block: "nearest" });
  }

  show(stats: RoomStats, nameOf: (id: string) => string): void {
    if (!this.open) return;
    const facts: [string, string][] = [
      ["In", kbps(stats.bitrateInBps)],
      ["Out", kbps(stats.bitrateOutBps)],
      ["Loss in", percent(stats.lossRatio)],
      ["Loss out", stats.lossOutRatio === null ? "–" : percent(stats.lossOutRatio)],
      ["Jitter", ms(stats.jitterMs)],
      ["Round trip", stats.rttMs === null ? "–" : ms(stats.rttMs)],
    ];
    const heads = ["Slot", "kbit/s", "Loss", "Jitter", "Concealed"];
    const rows = stats.slots.map((slot) => {
      const name = slot.participant === null ? `${slot.index + 1} (free)` : nameOf(slot.participant);
      return h(
        "tr",
        {},
        h("th", { scope: "row", title: name }, name),
        ...cellsOf(slot).map((text) => h("td", {}, text)),
      );
    });
    this.element.replaceChildren(
      h("h2", {}, "Statistics"),
      h("dl", {}, ...facts.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value)))),
      h(
        "table",
        {},
        h("thead", {}, h("tr", {}, ...heads.map((head) => h("th", { scope: "col" }, head)))),
        h("tbody", {}, ...rows),
      ),
      ...tableOfVideo(stats.video, nameOf),
    );
  }
}

/** Of those who are seen. */
function tableOfVideo(slots: readonly VideoSlotStats[], nameOf: (id: string) => string): HTMLElement[] {
  const rows = slots.flatMap(({ participant, width, height, framesPerSecond, bitrateBps, freezes }) => {
    if (participant === null) return [];
    const cells = [
      height > 0 ? `${width}×${height}` : "–",
      framesPerSecond.toFixed(0),
      (bitrateBps / 1000).toFixed(0),
      String(freezes),
    ];
    const name = nameOf(participant);
    const head = h("th", { scope: "row", title: name }, name);
    return [h("tr", {}, head, ...cells.map((text) => h("td", {}, text)))];
  });
  if (rows.length === 0) return [];
  const heads = ["Video", "Size", "fps", "kbit/s", "Freezes"].map((head) => h("th", { scope: "col" }, head));
  return [h("table", {}, h("thead", {}, h("tr", {}, ...heads)), h("tbody", {}, ...rows))];
}

/** Nothing was measured where nobody is heard. */
function cellsOf(slot: SlotStats): string[] {
  if (slot.participant === null) return ["–", "–", "–", "–"];
  return [
    (slot.bitrateBps / 1000).toFixed(0),
    percent(slot.lossRatio),
    ms(slot.jitterMs),
    percent(slot.concealmentRatio),
  ];
}

function kbps(bps: number): string {
  return `${(bps / 1000).toFixed(bps < 9950 ? 1 : 0)} kbit/s`;
}

function percent(ratio: number): string {
  return `${(ratio * 100).toFixed(1)} %`;
}

function ms(value: number): string {
  return `${value.toFixed(value < 10 ? 1 : 0)} ms`;
}
