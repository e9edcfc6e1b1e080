// Whoever is seen first, in a small window above all others: one with a tile in it where the browser has such windows, else
// one that it makes of a video itself.

import type { Room } from "@tercet/sdk";
import { h } from "../dom.js";
import { load, Tile, type TileHandlers } from "./tile.js";

/** Documents in windows of their own: TypeScript doesn't know them. */
interface DocumentPictureInPicture {
  requestWindow(size: { width: number; height: number }): Promise<Window & typeof globalThis>;
}

declare global {
  interface Window {
    documentPictureInPicture?: DocumentPictureInPicture;
  }
}

const SIZE = { width: 400, height: 225 };

export class Floating {
  readonly #room: Room;
  readonly #handlers: TileHandlers;
  readonly #changed: () => void;
  readonly #video = h("video", { muted: true, autoplay: true, playsInline: true });
  #window: Window | null = null;
  #tile: Tile | null = null;
  #unobserve = () => {};

  static get isPossible(): boolean {
    return window.documentPictureInPicture !== undefined || document.pictureInPictureEnabled === true;
  }

  constructor(room: Room, handlers: TileHandlers, changed: () => void) {
    this.#room = room;
    this.#handlers = handlers;
    this.#changed = changed;
    this.#video.addEventListener("leavepictureinpicture", () => this.#closed());
  }

  get isOpen(): boolean {
    return this.#window !== null || document.pictureInPictureElement === this.#video;
  }

  get tiles(): Tile[] {
    return this.#tile ? [this.#tile] : [];
  }

  /** Whoever dismisses it, or whose browser refuses, has none. */
  async toggle(): Promise<void> {
    if (this.isOpen) return this.close();
    try {
      await (window.documentPictureInPicture ? this.#openWindow() : this.#openVideo());
    } catch (error) {
      console.warn("no small window", error);
      this.#closed();
    }
    this.#changed();
  }

  /** After a change of who is seen first. */
  update(): void {
    const [slot] = this.#room.videoSlots;
    if (this.isOpen && !this.#window) load(this.#video, slot?.track ?? null);
    if (!this.#window) return;
    const participant = slot?.participant ?? null;
    const isSame =
      this.#tile?.participant === participant && this.#tile?.element.dataset.origin === slot?.origin;
    if (!isSame) {
      this.#tile?.close();
      this.#tile =
        slot && participant ? new Tile(participant, slot.origin, this.#room, this.#handlers) : null;
      if (this.#tile) this.#window.document.body.append(this.#tile.element);
    }
    this.#tile?.show(slot ?? null);
    this.#tile?.update();
  }

  close(): void {
    this.#window?.close();
    if (document.pictureInPictureElement === this.#video) void document.exitPictureInPicture();
    this.#closed();
  }

  async #openWindow(): Promise<void> {
    const floating = await window.documentPictureInPicture?.requestWindow(SIZE);
    if (!floating) return;
    for (const sheet of document.querySelectorAll("link[rel=stylesheet], style")) {
      floating.document.head.append(sheet.cloneNode(true));
    }
    floating.document.title = document.title;
    floating.document.body.className = "floating";
    floating.addEventListener("pagehide", () => this.#closed());
    this.#window = floating;
    this.update();
  }

  async #openVideo(): Promise<void> {
    const [slot] = this.#room.videoSlots;
    if (!slot) return;
    load(this.#video, slot.track);
    this.#unobserve = this.#handlers.observe(this.#video, slot.index);
    if (this.#video.readyState === HTMLMediaElement.HAVE_NOTHING) {
      await new Promise((resolve) => this.#video.addEventListener("loadedmetadata", resolve, { once: true }));
    }
    await this.#video.requestPictureInPicture();
  }

  #closed(): void {
    this.#window = null;
    this.#tile?.close();
    this.#tile = null;
    this.#unobserve();
    this.#unobserve = () => {};
    this.#video.srcObject = null;
    this.#changed();
  }
}
