// The slots: who is heard, one line each, a line for whoever shares sound, and the audio elements that play them. Lines move, so that the list fills from
// the top; the audio elements stand still beside them, because a moved one stops playing.

import type { Room, Slot, SpeakerLevel } from "@tercet/sdk";
import { arrange, h } from "../dom.js";
import { heightOf } from "../loudness.js";
import { recall } from "../preferences.js";
import { seat } from "../seating.js";

const NUMERALS = ["I", "II", "III", "IV", "V", "VI", "VII", "VIII"];

interface Verse {
  slot: Slot;
  line: HTMLElement;
  numeral: HTMLElement;
  name: HTMLElement;
}

export class Verses {
  readonly element: HTMLElement;
  readonly #verses: Verse[];
  readonly #room: Room;
  readonly #list = h("ol");
  readonly #sharer = h("p", { className: "sharer", data: { testid: "screen" } });
  readonly #players: HTMLAudioElement[];
  readonly #onBlocked: () => void;
  /** The indexes of the slots, from the top. */
  #order: number[];
  #taken: ReadonlySet<number> = new Set();

  constructor(room: Room, onBlocked: () => void) {
    this.#room = room;
    this.#onBlocked = onBlocked;
    this.#order = room.slots.map(({ index }) => index);
    this.#verses = room.slots.map((slot) => {
      const numeral = h("span", { className: "numeral", ariaHidden: "true" });
      const name = h("span", { className: "verse-name" });
      const line = h(
        "li",
        { className: "verse-line", data: { testid: "slot", index: String(slot.index) } },
        numeral,
        name,
        h("span", { className: "stroke", ariaHidden: "true" }),
      );
      return { slot, line, numeral, name };
    });
    this.#players = [...room.slots, room.screen].map(() => h("audio", { autoplay: true }));
    this.element = h(
      "section",
      { className: "verses", aria: { label: "Heard now" } },
      h("h2", {}, "Heard now"),
      this.#list,
      this.#sharer,
      h("div", { hidden: true }, ...this.#players),
    );
    this.setVolume(Number(recall("volume") || 1));
    void this.setOutput(recall("output")).catch(() => {});
    this.update();
  }

  /** After a change of the slots or the screen: names, and tracks if they are new ones. */
  update(): void {
    for (const { slot, line, name } of this.#verses) {
      const { participant } = slot;
      line.dataset.participant = participant?.id ?? "";
      line.ariaHidden = participant ? null : "true";
      name.textContent = participant?.name ?? "–";
      name.title = participant?.name ?? "";
    }
    const { me, screen, sharedAudio, sharedVideo } = this.#room;
    const { participant, track } = screen;
    const others = sharedAudio ? "sound; yours is heard when they stop" : "sound";
    const mine = sharedVideo ? "You share your screen and its sound" : "You share sound";
    const heard = participant === me ? mine : `${participant?.name} shares ${others}`;
    const silent = sharedVideo ? "You share your screen" : "";
    this.#sharer.textContent = participant ? heard : silent;
    this.#sharer.dataset.participant = participant?.id ?? (sharedVideo ? me.id : "");
    this.#sharer.hidden = this.#sharer.textContent === "";
    const tracks = [...this.#verses.map(({ slot }) => slot.track), track];
    this.#players.forEach((audio, index) => {
      this.#load(audio, tracks[index]);
    });
    this.#seat();
  }

  #load(audio: HTMLAudioElement, track: MediaStreamTrack | undefined): void {
    const [playing] = (audio.srcObject as MediaStream | null)?.getTracks() ?? [];
    if (!track || playing === track) return;
    audio.srcObject = new MediaStream([track]);
    this.#play(audio);
  }

  #seat(): void {
    const { slots } = this.#room;
    this.#order = seat(this.#order, slots, this.#taken);
    this.#taken = new Set(slots.filter(({ participant }) => participant).map(({ index }) => index));
    const lines = this.#order.flatMap((index) => this.#verses[index] ?? []);
    lines.forEach(({ numeral }, place) => {
      numeral.textContent = NUMERALS[place] ?? String(place + 1);
    });
    arrange(
      this.#list,
      lines.map(({ line }) => line),
    );
  }

  showLevels(levels: readonly SpeakerLevel[]): void {
    for (const { slot, line } of this.#verses) {
      const level = levels.find(({ participant }) => participant === slot.participant);
      const height = level ? heightOf(level.levelDbov) : 0;
      line.style.setProperty("--level", height.toFixed(2));
    }
  }

  /** Again, from a click: browsers that refused the sound allow it then. */
  playAll(): void {
    for (const audio of this.#players) this.#play(audio);
  }

  setVolume(volume: number): void {
    for (const audio of this.#players) audio.volume = Math.min(1, Math.max(0, volume));
  }

  async setOutput(deviceId: string): Promise<void> {
    await Promise.all(this.#players.map((audio) => audio.setSinkId?.(deviceId)));
  }

  close(): void {
    for (const audio of this.#players) audio.srcObject = null;
  }

  #play(audio: HTMLAudioElement): void {
    audio.play().catch((error: unknown) => {
      // Any other error is of a track that was replaced meanwhile.
      if (error instanceof DOMException && error.name === "NotAllowedError") this.#onBlocked();
    });
  }
}
