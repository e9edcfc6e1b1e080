// One tile of the stage: a face, and in front of it the picture of a slot from the first frame on that is theirs.

import type { Participant, PictureOrigin, Room, VideoSlot } from "@tercet/sdk";
import { Curtain } from "../curtain.js";
import { h, ICONS, icon } from "../dom.js";
import { hueOf, initialsOf } from "../face.js";
import { heightOf } from "../loudness.js";
import { sharesScreen, showsFace } from "../publishing.js";

export interface TileHandlers {
  /** With whom a click chose, or `null` for whoever speaks. */
  watch(id: string | null): void;
  /** A screen is to be seen large. */
  enlarge(): void;
  /** An element shows a slot, until the function returned is called. */
  observe(element: HTMLElement, index: number): () => void;
}

export class Tile {
  readonly element: HTMLLIElement;
  readonly participant: Participant;
  readonly #origin: PictureOrigin;
  readonly #room: Room;
  readonly #handlers: TileHandlers;
  readonly #video = h("video", { muted: true, autoplay: true, playsInline: true, ariaHidden: "true" });
  readonly #initials = h("span", { className: "tile-face", ariaHidden: "true" });
  readonly #name = h("span");
  readonly #muted = h(
    "span",
    { className: "tile-muted", role: "img", ariaLabel: "muted" },
    icon(ICONS.micOff),
  );
  readonly #numbers = h("p", { className: "tile-numbers", hidden: true, data: { testid: "tile-stats" } });
  readonly #button: HTMLButtonElement;
  #slot: VideoSlot | null = null;
  #curtain: Curtain | null = null;
  #unobserve = () => {};

  constructor(participant: Participant, origin: PictureOrigin, room: Room, handlers: TileHandlers) {
    this.participant = participant;
    this.#origin = origin;
    this.#room = room;
    this.#handlers = handlers;
    const watch = () => handlers.watch(participant.id === room.watched ? null : participant.id);
    const onclick = origin === "camera" ? watch : handlers.enlarge;
    this.#button = h("button", { type: "button", className: "tile-watch", onclick });
    this.element = h(
      "li",
      { className: "tile", data: { participant: participant.id, origin, dark: "true", testid: "tile" } },
      this.#initials,
      this.#video,
      h("span", { className: "tile-name" }, this.#muted, this.#name),
      h("span", { className: "tile-pin", ariaHidden: "true" }, icon(ICONS.eye), h("span", {}, "Watching")),
      this.#numbers,
      this.#button,
    );
    this.element.style.setProperty("--hue", String(hueOf(participant.id)));
    this.update();
  }

  get index(): number | null {
    return this.#slot?.index ?? null;
  }

  /** In which slot they are seen now, if they are. */
  show(slot: VideoSlot | null): void {
    if (slot !== this.#slot) this.#leaveSlot();
    if (!slot) return;
    if (!this.#slot) this.#enterSlot(slot);
    if (!load(this.#video, slot.track)) return;
    this.element.dataset.dark = "true";
    this.#curtain?.close();
  }

  /** After a change of the participant, or of whom one watches. */
  update(): void {
    const { name, id, muted, role } = this.participant;
    const isScreen = this.#origin === "screen_video";
    this.#name.textContent = isScreen ? `${name}’s screen` : name;
    this.#initials.replaceChildren(isScreen ? icon(ICONS.share) : initialsOf(name));
    this.#muted.hidden = isScreen || !(muted || role === "listener");
    const watched = !isScreen && id === this.#room.watched;
    this.element.dataset.watched = String(watched);
    this.#button.hidden = isScreen ? !sharesScreen(this.participant) : !showsFace(this.participant);
    this.#button.ariaLabel = isScreen ? `Show ${name}’s screen large` : `Watch ${name}`;
    this.#button.ariaPressed = isScreen ? null : String(watched);
    this.#button.title = watched ? "Back to whoever speaks" : this.#button.ariaLabel;
  }

  /** A screen doesn't speak. */
  showLevel(levelDbov: number): void {
    if (this.#origin === "screen_video") return;
    this.element.style.setProperty("--level", heightOf(levelDbov).toFixed(2));
  }

  /** Over the picture; `null` for none. */
  showNumbers(lines: readonly string[] | null): void {
    this.#numbers.hidden = lines === null;
    this.#numbers.replaceChildren(...(lines ?? []).map((line) => h("span", {}, line)));
  }

  close(): void {
    this.#leaveSlot();
    this.element.remove();
  }

  #enterSlot(slot: VideoSlot): void {
    this.#slot = slot;
    Object.assign(this.element.dataset, { testid: "video-slot", index: String(slot.index) });
    this.#unobserve = this.#handlers.observe(this.#video, slot.index);
    this.#curtain = new Curtain(this.#video, slot, () => {
      this.element.dataset.dark = "false";
    });
  }

  #leaveSlot(): void {
    this.#curtain?.end();
    this.#curtain = null;
    this.#unobserve();
    this.#unobserve = () => {};
    this.#slot = null;
    this.#video.srcObject = null;
    this.showNumbers(null);
    Object.assign(this.element.dataset, { testid: "tile", dark: "true" });
    delete this.element.dataset.index;
  }
}

/** Whether it plays another track now. Without sound no browser holds it back. */
export function load(video: HTMLVideoElement, track: MediaStreamTrack | null): boolean {
  const [playing = null] = (video.srcObject as MediaStream | null)?.getTracks() ?? [];
  if (playing === track) return false;
  video.srcObject = track && new MediaStream([track]);
  // What fails is of a track that was replaced meanwhile.
  if (track) video.play().catch(() => {});
  return true;
}
