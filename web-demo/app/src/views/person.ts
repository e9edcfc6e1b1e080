// One participant as an element, which lives as long as they are shown and is changed where something changed.

import type { Participant, Role, Room } from "@tercet/sdk";
import { h, ICONS, icon } from "../dom.js";
import { hueOf, initialsOf } from "../face.js";
import { heightOf } from "../loudness.js";
import { sharesScreen, sharesSound, showsFace } from "../publishing.js";

const PROMOTION: Partial<Record<Role, [Role, string]>> = {
  listener: ["speaker", "Let speak"],
  speaker: ["moderator", "Make moderator"],
};
const DEMOTION: Partial<Record<Role, [Role, string]>> = {
  moderator: ["speaker", "Make speaker"],
  speaker: ["listener", "Make listener"],
};

const QUESTION_MS = 5000;

export class Person {
  readonly element: HTMLElement;
  readonly #participant: Participant;
  readonly #room: Room;
  readonly #onError: (error: unknown) => void;
  readonly #initials = h("span", { className: "initials" });
  readonly #name = h("span", { className: "name" });
  readonly #state = h("span", { className: "state" });
  readonly #watch: HTMLButtonElement;
  #menu: HTMLDetailsElement | null = null;

  constructor(
    participant: Participant,
    room: Room,
    onError: (error: unknown) => void,
    watch: (id: string | null) => void,
  ) {
    this.#participant = participant;
    this.#room = room;
    this.#onError = onError;
    const face = h(
      "span",
      { className: "face", ariaHidden: "true" },
      h("span", { className: "ring" }),
      this.#initials,
      h("span", { className: "badge badge-hand" }, icon(ICONS.hand)),
      h("span", { className: "badge badge-muted" }, icon(ICONS.micOff)),
    );
    const { id } = participant;
    const onclick = () => watch(room.watched === id ? null : id);
    // Over the face, which it makes one that can be clicked.
    this.#watch = h("button", { type: "button", className: "watch", onclick, data: { testid: "watch" } });
    this.element = h(
      "li",
      { className: "person", data: { testid: "participant", participantId: participant.id } },
      face,
      h("span", { className: "who" }, this.#name, this.#state),
      this.#watch,
    );
    if (participant.transport === "sip") this.#initials.replaceChildren(icon(ICONS.phone));
    this.element.style.setProperty("--hue", String(hueOf(participant.id)));
    this.update();
    this.setLevel(participant.levelDbov);
  }

  update(): void {
    const { name, role, transport, muted, screenMuted, handRaised } = this.#participant;
    const isPhone = transport === "sip";
    const isMe = this.#participant === this.#room.me;
    Object.assign(this.element.dataset, {
      role,
      transport,
      muted: String(muted),
      hand: String(handRaised),
      me: String(isMe),
    });
    if (!isPhone) this.#initials.textContent = initialsOf(name);
    this.#name.textContent = name;
    this.#name.title = name;
    const states = [
      isMe ? "you" : "",
      isPhone ? "by phone" : "",
      role === "speaker" ? "" : role,
      muted ? "muted" : "",
      showsFace(this.#participant) ? "camera on" : "",
      sharesScreen(this.#participant) ? "shares a screen" : "",
      sharesSound(this.#participant) ? (screenMuted ? "sound silenced" : "shares sound") : "",
      handRaised ? "hand raised" : "",
    ];
    this.#state.textContent = states.filter(Boolean).join(" · ");
    const watched = this.#room.watched === this.#participant.id;
    this.#watch.hidden = !showsFace(this.#participant) || isMe || this.#room.videoSlots.length === 0;
    this.#watch.ariaPressed = String(watched);
    this.#watch.ariaLabel = `Watch ${name}`;
    this.#watch.title = watched ? "Back to whoever speaks" : `Watch ${name}`;
    this.#updateMenu(this.#room.me.role === "moderator" && !isMe);
  }

  setLevel(levelDbov: number): void {
    const level = String(levelDbov);
    if (this.element.dataset.level === level) return;
    this.element.dataset.level = level;
    this.element.style.setProperty("--level", heightOf(levelDbov).toFixed(2));
  }

  #updateMenu(wanted: boolean): void {
    if (!wanted) {
      this.#menu?.remove();
      this.#menu = null;
      return;
    }
    const { id, name, role, transport, standing, muted, screenMuted, handRaised } = this.#participant;
    const isPhone = transport === "sip";
    const pinned = standing === "pinned";
    const promotion = PROMOTION[role];
    const demotion = DEMOTION[role];
    const items = h(
      "div",
      { className: "menu-items" },
      !muted && role !== "listener" && this.#action("mute", "Mute", () => this.#room.muteParticipant(id)),
      sharesSound(this.#participant) &&
        !screenMuted &&
        this.#action("silence", "Silence sound", () => this.#room.muteParticipant(id, { track: "screen" })),
      sharesScreen(this.#participant) &&
        this.#action("screen-off", "Stop screen", () =>
          this.#room.muteParticipant(id, { track: "screen_video" }),
        ),
      showsFace(this.#participant) &&
        this.#action("camera-off", "Turn camera off", () =>
          this.#room.muteParticipant(id, { track: "camera" }),
        ),
      handRaised && this.#action("lower-hand", "Lower hand", () => this.#room.lowerHand(id)),
      promotion &&
        this.#action(
          "promote",
          promotion[1],
          () => this.#room.setRole(id, promotion[0]),
          promotion[0] === "moderator" ? "Really make moderator?" : null,
        ),
      demotion && this.#action("demote", demotion[1], () => this.#room.setRole(id, demotion[0])),
      role !== "listener" &&
        this.#action("pin", pinned ? "Unpin" : "Pin", () =>
          this.#room.setStanding(id, pinned ? "ordinary" : "pinned"),
        ),
      isPhone
        ? this.#action("remove", "Hang up", () => this.#room.removeParticipant(id), "Really hang up?")
        : this.#action("remove", "Remove", () => this.#room.removeParticipant(id), "Really remove?"),
    );
    if (!this.#menu) {
      const summary = h("summary", { title: "Actions", data: { testid: "actions" } }, icon(ICONS.dots));
      this.#menu = h("details", { className: "menu" }, summary, items);
      // Below the last row there may be no place for it.
      this.#menu.ontoggle = () => {
        if (this.#menu?.open) this.#menu.lastElementChild?.scrollIntoView({ block: "nearest" });
      };
      this.element.append(this.#menu);
    } else {
      this.#menu.lastElementChild?.replaceWith(items);
    }
    this.#menu.firstElementChild?.setAttribute("aria-label", `Actions for ${name}`);
  }

  /** With a `question` the first click asks it, and only a second one in time does what it says. */
  #action(
    name: string,
    label: string,
    run: () => Promise<void>,
    question: string | null = null,
  ): HTMLButtonElement {
    const onclick = () => {
      if (question !== null && button.textContent !== question) {
        button.textContent = question;
        setTimeout(() => {
          button.textContent = label;
        }, QUESTION_MS);
        return;
      }
      if (this.#menu) this.#menu.open = false;
      this.#menu?.querySelector("summary")?.focus();
      run().catch(this.#onError);
    };
    const button = h("button", { type: "button", onclick, data: { testid: `action-${name}` } }, label);
    return button;
  }
}

/** Open menus close when something else is clicked, or by Escape. The function returned ends that. */
export function closeMenusOutside(root: HTMLElement): () => void {
  const close = (event: Event) => {
    if (event instanceof KeyboardEvent && event.key !== "Escape") return;
    for (const menu of root.querySelectorAll<HTMLDetailsElement>("details.menu[open]")) {
      const inside = event.target instanceof Node && menu.contains(event.target);
      if (event.type === "keydown" && inside) menu.querySelector("summary")?.focus();
      if (event.type === "keydown" || !inside) menu.open = false;
    }
  };
  document.addEventListener("click", close);
  document.addEventListener("keydown", close);
  return () => {
    document.removeEventListener("click", close);
    document.removeEventListener("keydown", close);
  };
}
