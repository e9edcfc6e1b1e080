// Who is seen: a large tile for the first video slot, small ones for the others and for oneself. The elements that play stand
// still, as those of sound do; a tile of nobody is hidden, and all of it while no camera is on.

import type { Participant, Room, SpeakerLevel, VideoSlot } from "@tercet/sdk";
import { Curtain } from "../curtain.js";
import { h, ICONS, icon } from "../dom.js";
import { heightOf } from "../loudness.js";

export class Pictures {
  readonly element: HTMLElement;
  readonly #room: Room;
  readonly #tiles: Tile[];
  readonly #own = h("video", { muted: true, autoplay: true, playsInline: true });
  readonly #preview = h(
    "li",
    { className: "tile tile-own", data: { testid: "preview" } },
    this.#own,
    h("span", { className: "tile-name" }, "You"),
  );

  /** `watch` is called with whom a click chose, or `null` for whoever speaks. */
  constructor(room: Room, watch: (id: string | null) => void) {
    this.#room = room;
    this.#own.ariaLabel = "Your own picture";
    this.#tiles = room.videoSlots.map((slot) => new Tile(slot, room, watch));
    this.element = h(
      "section",
      { className: "pictures", aria: { label: "Seen now" }, data: { testid: "pictures" } },
      h("h2", { className: "visually-hidden" }, "Seen now"),
      h("ul", { className: "tiles" }, ...this.#tiles.map(({ element }) => element), this.#preview),
    );
    this.update();
  }

  /** After a change of the slots, of whom one watches, or of one's own camera. */
  update(): void {
    for (const tile of this.#tiles) tile.update();
    const { videoTrack, videoSlots } = this.#room;
    load(this.#own, videoTrack);
    this.#preview.hidden = videoTrack === null;
    const seen = videoSlots.filter(({ participant }) => participant).length;
    this.element.dataset.seen = String(seen);
    this.element.hidden = seen === 0 && videoTrack === null;
  }

  showLevels(levels: readonly SpeakerLevel[]): void {
    for (const tile of this.#tiles) tile.showLevels(levels);
  }

  close(): void {
    for (const tile of this.#tiles) tile.close();
    this.#own.srcObject = null;
  }
}

class Tile {
  readonly element: HTMLElement;
  readonly #slot: VideoSlot;
  readonly #room: Room;
  readonly #video = h("video", { muted: true, autoplay: true, playsInline: true, ariaHidden: "true" });
  readonly #button: HTMLButtonElement;
  readonly #name = h("span", { className: "tile-name" });
  readonly #curtain: Curtain;
  #shown: Participant | null = null;

  constructor(slot: VideoSlot, room: Room, watch: (id: string | null) => void) {
    this.#slot = slot;
    this.#room = room;
    this.#curtain = new Curtain(this.#video, slot, () => {
      this.element.dataset.dark = "false";
    });
    const onclick = () => {
      const { participant } = this.#slot;
      if (participant) watch(participant.id === room.watched ? null : participant.id);
    };
    this.#button = h(
      "button",
      { type: "button", className: "tile-watch", onclick },
      this.#video,
      this.#name,
      h("span", { className: "tile-pin", ariaHidden: "true" }, icon(ICONS.eye), h("span", {}, "Watching")),
    );
    const size = slot.index === 0 ? "tile-large" : "tile-small";
    const data = { testid: "video-slot", index: String(slot.index) };
    this.element = h("li", { className: `tile ${size}`, data }, this.#button);
  }

  update(): void {
    const { participant, track } = this.#slot;
    load(this.#video, track);
    this.element.hidden = participant === null;
    this.element.dataset.participant = participant?.id ?? "";
    if (participant !== this.#shown) this.#waitForPicture();
    this.#shown = participant;
    if (!participant) return;
    const watched = participant.id === this.#room.watched;
    this.#name.textContent = participant.name;
    this.#button.ariaLabel = `Watch ${participant.name}`;
    this.#button.ariaPressed = String(watched);
    this.#button.title = watched ? "Back to whoever speaks" : `Watch ${participant.name}`;
  }

  /** Whoever was in it before goes on until the next whole picture, and an element keeps its last one. */
  #waitForPicture(): void {
    this.element.dataset.dark = "true";
    this.#curtain.close();
  }

  showLevels(levels: readonly SpeakerLevel[]): void {
    const level = levels.find(({ participant }) => participant === this.#slot.participant);
    const height = level ? heightOf(level.levelDbov) : 0;
    this.element.style.setProperty("--level", height.toFixed(2));
  }

  close(): void {
    this.#curtain.end();
    this.#video.srcObject = null;
  }
}

function load(video: HTMLVideoElement, track: MediaStreamTrack | null): void {
  const [playing = null] = (video.srcObject as MediaStream | null)?.getTracks() ?? [];
  if (playing === track) return;
  video.srcObject = track && new MediaStream([track]);
  // Without sound no browser holds it back; what fails is of a track that was replaced meanwhile.
  if (track) video.play().catch(() => {});
}
