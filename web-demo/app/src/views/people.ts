// Everybody: a stage of those who matter now, a list of the rest, and the number of those who aren't listed. Changes come in one by one and are drawn
// together a moment later; levels go straight to the elements and draw nothing else.

import type { Participant, Room, SpeakerLevel } from "@tercet/sdk";
import { arrange, h } from "../dom.js";
import { rank, type Seen } from "../ranking.js";
import { sentenceOfMore } from "../sentences.js";
import { Person } from "./person.js";

const DRAW_MS = 40;
/** Rows of the list: whoever looks for somebody in a crowd uses the search. */
const ROWS_MAX = 100;
const SEARCH_FROM = 13;
/** A longer list is folded to its length. */
const ROWS_OPEN_MAX = 40;

export class People {
  readonly element: HTMLElement;
  readonly #room: Room;
  readonly #onError: (error: unknown) => void;
  readonly #watch: (id: string | null) => void;
  readonly #seen = new Map<string, Seen>();
  readonly #shown = new Map<string, Person>();
  readonly #onStage = new Set<string>();
  #loud = new Set<string>();
  #counter = 0;
  #folds = true;
  #drawing: ReturnType<typeof setTimeout> | undefined;

  readonly #stage = h("ul", { className: "stage" });
  readonly #list = h("ul", { className: "rest" });
  readonly #count = h("span", { className: "count", data: { testid: "people-count" } });
  readonly #title = h("h2", { tabIndex: -1 }, "In the room ", this.#count);
  readonly #restCount = h("span");
  readonly #more = h("p", { className: "more", data: { testid: "more" } });
  readonly #search = h("input", {
    type: "search",
    placeholder: "Find somebody",
    className: "search",
    aria: { label: "Find somebody" },
  });
  readonly #rest: HTMLDetailsElement;

  constructor(room: Room, onError: (error: unknown) => void, watch: (id: string | null) => void) {
    this.#room = room;
    this.#onError = onError;
    this.#watch = watch;
    this.#search.oninput = () => this.#draw();
    this.#rest = h(
      "details",
      { className: "others" },
      h("summary", {}, this.#restCount),
      this.#search,
      this.#list,
      this.#more,
    );
    // A list that somebody opened or closed by hand stays so.
    this.#rest.firstElementChild?.addEventListener("click", () => {
      this.#folds = false;
    });
    this.element = h(
      "section",
      { className: "people", aria: { label: "People" } },
      this.#title,
      this.#stage,
      this.#rest,
    );
    for (const participant of room.participants.values()) this.add(participant);
    this.#draw();
  }

  add(participant: Participant): void {
    const arrival = ++this.#counter;
    this.#seen.set(participant.id, {
      participant,
      arrival,
      hand: participant.handRaised ? arrival : 0,
      heardAt: 0,
    });
    this.#drawSoon();
  }

  update(participant: Participant): void {
    const seen = this.#seen.get(participant.id);
    if (!seen) return;
    if (participant.handRaised !== seen.hand > 0) seen.hand = participant.handRaised ? ++this.#counter : 0;
    // Who moderates has menus at everybody else, who ceases to has none.
    if (participant === this.#room.me) this.refresh();
    else this.#shown.get(participant.id)?.update();
    this.#drawSoon();
  }

  remove({ id }: Participant): void {
    this.#seen.delete(id);
    this.#shown.get(id)?.element.remove();
    this.#shown.delete(id);
    this.#drawSoon();
  }

  /** Something of oneself changed, which is seen at everybody. */
  refresh(): void {
    for (const person of this.#shown.values()) person.update();
  }

  /** Others came or went who aren't listed. */
  recount(): void {
    this.#drawSoon();
  }

  /** One's own level comes from one's own meter, which knows it sooner. */
  showLevels(levels: readonly SpeakerLevel[]): void {
    const silent = this.#loud;
    this.#loud = new Set();
    for (const { participant, levelDbov } of levels) {
      const seen = this.#seen.get(participant.id);
      if (!seen) continue;
      silent.delete(participant.id);
      this.#loud.add(participant.id);
      seen.heardAt = performance.now();
      if (participant !== this.#room.me) this.#shown.get(participant.id)?.setLevel(levelDbov);
      if (!this.#onStage.has(participant.id)) this.#drawSoon();
    }
    for (const id of silent) if (id !== this.#room.me.id) this.#shown.get(id)?.setLevel(-127);
  }

  showMyLevel(levelDbov: number): void {
    this.#shown.get(this.#room.me.id)?.setLevel(levelDbov);
  }

  /** Who matters now, besides oneself. */
  get onStage(): Participant[] {
    const { me } = this.#room;
    const { stage } = rank([...this.#seen.values()], me.id);
    return stage.flatMap(({ participant }) => (participant === me ? [] : participant));
  }

  /** From wherever the page is scrolled to. */
  reveal(): void {
    this.#title.scrollIntoView({ block: "start" });
    this.#title.focus({ preventScroll: true });
  }

  close(): void {
    clearTimeout(this.#drawing);
  }

  #drawSoon(): void {
    this.#drawing ??= setTimeout(() => this.#draw(), DRAW_MS);
  }

  #draw(): void {
    clearTimeout(this.#drawing);
    this.#drawing = undefined;
    const { stage, rest } = rank([...this.#seen.values()], this.#room.me.id);
    this.#onStage.clear();
    for (const { participant } of stage) this.#onStage.add(participant.id);

    const wanted = this.#search.value.trim().toLowerCase();
    const found = rest.filter(({ participant }) => participant.name.toLowerCase().includes(wanted));
    const rows = found.slice(0, ROWS_MAX);
    this.#forgetAllBut(new Set([...stage, ...rows].map(({ participant }) => participant.id)));
    arrange(
      this.#stage,
      stage.map((seen) => this.#personOf(seen).element),
    );
    arrange(
      this.#list,
      rows.map((seen) => this.#personOf(seen).element),
    );

    this.#count.textContent = String(this.#room.participantCount);
    const listeners = rest.every(({ participant }) => participant.role === "listener");
    const unlisted = this.#room.participantCount - this.#room.participants.size;
    const restCount = rest.length + unlisted;
    this.#restCount.textContent = `${restCount} ${listeners ? (restCount === 1 ? "listener" : "listeners") : "more"}`;
    if (this.#folds) this.#rest.open = rest.length <= ROWS_OPEN_MAX;
    this.#rest.hidden = restCount === 0;
    this.#search.hidden = rest.length < SEARCH_FROM;
    this.#more.textContent = sentenceOfMore(found.length - rows.length, unlisted);
    this.#more.hidden = this.#more.textContent === "";
  }

  #personOf({ participant }: Seen): Person {
    let person = this.#shown.get(participant.id);
    if (!person) {
      person = new Person(participant, this.#room, this.#onError, this.#watch);
      this.#shown.set(participant.id, person);
    }
    return person;
  }

  #forgetAllBut(ids: ReadonlySet<string>): void {
    for (const [id, person] of this.#shown) {
      if (ids.has(id)) continue;
      person.element.remove();
      this.#shown.delete(id);
    }
  }
}
