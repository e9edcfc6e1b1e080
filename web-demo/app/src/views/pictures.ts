// Who is seen: one large and the others in a strip below, or all of them in a grid. Slots and people come in, tiles are made,
// moved and taken away; all of it is hidden while no camera is on and nobody shares a screen.

import { observeView, type Participant, type Room, type RoomStats, type SpeakerLevel } from "@tercet/sdk";
import { arrange, h } from "../dom.js";
import { linesOfReceived, linesOfSent } from "../numbers.js";
import { recall, remember } from "../preferences.js";
import { capacityOf, columnsFor, inOrder, type Place, placesOf } from "../tiling.js";
import { Floating } from "./floating.js";
import { load, Tile, type TileHandlers } from "./tile.js";
import { Tools, type View } from "./tools.js";

const DRAW_MS = 40;
/** Of the height of the window: people are to be seen below it. */
const GRID_HEIGHT = 0.6;

export class Pictures {
  readonly element: HTMLElement;
  readonly #room: Room;
  readonly #others: () => readonly Participant[];
  readonly #handlers: TileHandlers;
  readonly #tools: Tools;
  readonly #floating: Floating;
  readonly #tiles = new Map<string, Tile>();
  readonly #own = h("video", { muted: true, autoplay: true, playsInline: true });
  readonly #ownNumbers = h("p", { className: "tile-numbers", hidden: true, data: { testid: "tile-stats" } });
  readonly #preview: HTMLLIElement;
  readonly #more = h("button", { type: "button", className: "tile-rest", data: { testid: "more-people" } });
  readonly #moreTile = h("li", { className: "tile tile-more", hidden: true }, this.#more);
  readonly #list = h("ul", { className: "tiles" });
  readonly #resizes: ResizeObserver;
  #view: View = recall("view") === "grid" ? "grid" : "focus";
  /** Somebody began to share a screen, which is to be read, and nobody chose otherwise since. */
  #isScreenLarge = false;
  #showsScreen = false;
  #order: string[] = [];
  #drawing: ReturnType<typeof setTimeout> | undefined;

  /** `others`: who is there besides those who are seen, the most important first. `showPeople`: all of them are wanted. */
  constructor(
    room: Room,
    watch: (id: string | null) => void,
    others: () => readonly Participant[],
    showPeople: () => void,
  ) {
    this.#room = room;
    this.#others = others;
    this.#handlers = {
      observe: observeView(room),
      watch: (id) => {
        // Whom one chose is to be seen large.
        if (id !== null) this.#choose("focus");
        watch(id);
      },
      enlarge: () => this.#choose("focus"),
    };
    this.#own.ariaLabel = "Your own picture";
    this.#more.onclick = showPeople;
    this.#preview = h(
      "li",
      { className: "tile tile-own", data: { testid: "preview" } },
      this.#own,
      h("span", { className: "tile-name" }, h("span", {}, "You")),
      this.#ownNumbers,
    );
    this.#floating = new Floating(room, this.#handlers, () => this.#showTools());
    this.#tools = new Tools({
      view: (view) => this.#choose(view),
      numbers: () => this.#toggleNumbers(),
      float: () => void this.#floating.toggle(),
    });
    this.element = h(
      "section",
      { className: "pictures", aria: { label: "Seen now" }, data: { testid: "pictures" } },
      h("div", { className: "pictures-head" }, h("h2", {}, "Seen now"), this.#tools.element),
      this.#list,
    );
    this.#resizes = new ResizeObserver(() => this.#drawSoon());
    this.#resizes.observe(this.element);
    this.update();
  }

  /** After a change of the slots, of whom one watches, or of one's own camera. */
  update(): void {
    clearTimeout(this.#drawing);
    this.#drawing = undefined;
    this.#followScreen();
    const places = this.#places();
    const shown = places.filter(({ slot }) => slot);
    for (const place of places) this.#tileOf(place).show(place.slot);
    for (const [key, tile] of this.#tiles) {
      if (places.some((place) => place.key === key)) continue;
      tile.close();
      this.#tiles.delete(key);
    }
    for (const tile of this.#tiles.values()) tile.update();
    this.#order = places.map(({ key }) => key);
    this.#arrange(places);
    this.#floating.update();
    const { videoTrack } = this.#room;
    load(this.#own, videoTrack);
    this.#preview.hidden = videoTrack === null;
    this.element.dataset.seen = String(shown.length);
    this.element.hidden = shown.length === 0 && videoTrack === null;
    this.#showTools();
  }

  /** People came, went, or are muted: many of them are drawn together. */
  peopleChanged(): void {
    this.#drawSoon();
  }

  showLevels(levels: readonly SpeakerLevel[]): void {
    const loudness = new Map(levels.map(({ participant, levelDbov }) => [participant, levelDbov]));
    const everywhere = [...this.#tiles.values(), ...this.#floating.tiles];
    for (const tile of everywhere) tile.showLevel(loudness.get(tile.participant) ?? -127);
  }

  /** What was measured of the slots and of one's own picture. */
  showStats({ video, sentVideo }: RoomStats): void {
    if (!this.#tools.hasNumbers) return;
    const bySlot = new Map(video.map((stats) => [stats.index, stats]));
    for (const tile of this.#tiles.values()) {
      const stats = tile.index === null ? undefined : bySlot.get(tile.index);
      tile.showNumbers(stats ? linesOfReceived(stats) : null);
    }
    const mine = linesOfSent(sentVideo.filter(({ origin }) => origin === "camera"));
    this.#ownNumbers.replaceChildren(...mine.map((line) => h("span", {}, line)));
    this.#ownNumbers.hidden = mine.length === 0;
  }

  #toggleNumbers(): void {
    this.#tools.hasNumbers = !this.#tools.hasNumbers;
    if (this.#tools.hasNumbers) return;
    for (const tile of this.#tiles.values()) tile.showNumbers(null);
    this.#ownNumbers.hidden = true;
  }

  close(): void {
    clearTimeout(this.#drawing);
    this.#resizes.disconnect();
    this.#floating.close();
    for (const tile of this.#tiles.values()) tile.close();
    this.#own.srcObject = null;
  }

  get #viewNow(): View {
    return this.#isScreenLarge ? "focus" : this.#view;
  }

  #choose(view: View): void {
    if (this.#showsScreen) this.#isScreenLarge = view === "focus";
    if (!this.#isScreenLarge) {
      this.#view = view;
      remember("view", view);
    }
    this.update();
  }

  #followScreen(): void {
    const shows = this.#room.videoSlots.some(
      ({ participant, origin }) => participant !== null && origin === "screen_video",
    );
    if (shows !== this.#showsScreen) this.#isScreenLarge = shows;
    this.#showsScreen = shows;
  }

  #showTools(): void {
    this.#tools.show(this.#viewNow, this.#floating.isOpen);
  }

  #drawSoon(): void {
    this.#drawing ??= setTimeout(() => this.update(), DRAW_MS);
  }

  #places(): Place[] {
    const { videoSlots, videoTrack, participantCount } = this.#room;
    if (this.#viewNow === "focus") {
      this.#showMore(0);
      return inOrder(this.#order, placesOf(videoSlots, [], 0));
    }
    const roomFor = capacityOf(this.#box) - (videoTrack ? 1 : 0);
    const fill = (count: number) => placesOf(videoSlots, this.#others(), count);
    const beyond = (places: readonly Place[]) => participantCount - 1 - peopleIn(places);
    const all = fill(roomFor);
    // The last one says how many more there are.
    const places = all.length >= roomFor && beyond(all) > 0 ? fill(roomFor - 1) : all;
    this.#showMore(beyond(places));
    return inOrder(this.#order, places);
  }

  #showMore(count: number): void {
    this.#moreTile.hidden = count <= 0;
    this.#more.replaceChildren(h("b", {}, `+${count}`), h("span", {}, "others"));
    this.#more.ariaLabel = `${count} others: show everybody`;
  }

  #tileOf({ key, participant, origin }: Place): Tile {
    let tile = this.#tiles.get(key);
    if (tile?.participant !== participant) {
      tile?.close();
      tile = new Tile(participant, origin, this.#room, this.#handlers);
      this.#tiles.set(key, tile);
    }
    return tile;
  }

  #arrange(places: readonly Place[]): void {
    const isGrid = this.#viewNow === "grid";
    const [large] = isGrid ? [] : places.toSorted((a, b) => (a.slot?.index ?? 0) - (b.slot?.index ?? 0));
    for (const [key, { element }] of this.#tiles) element.classList.toggle("tile-large", key === large?.key);
    const tiles = places.flatMap(({ key }) => this.#tiles.get(key)?.element ?? []);
    arrange(this.#list, [...tiles, this.#preview, this.#moreTile]);
    this.#list.dataset.view = this.#viewNow;
    const count = tiles.length + (this.#room.videoTrack ? 1 : 0) + (this.#moreTile.hidden ? 0 : 1);
    const { columns, tileWidth } = columnsFor(count, this.#box);
    this.#list.style.setProperty("--columns", String(columns));
    this.#list.style.setProperty("--tile-width", `${tileWidth}px`);
    this.#list.style.setProperty("--small", String(count - 1));
  }

  get #box(): { width: number; height: number } {
    return { width: this.element.clientWidth || innerWidth, height: innerHeight * GRID_HEIGHT };
  }
}

function peopleIn(places: readonly Place[]): number {
  return new Set(places.map(({ participant }) => participant)).size;
}
