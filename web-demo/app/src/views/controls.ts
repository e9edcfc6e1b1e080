// The bar at the bottom: what one does about oneself. It shows the room's state and only calls back.

import type { Room } from "@tercet/sdk";
import { h, ICONS, icon } from "../dom.js";
import { canShare } from "../sharing.js";

export interface ControlHandlers {
  mute(): void;
  camera(): void;
  hand(): void;
  share(): void;
  stats(): void;
  call(): void;
  chat(): void;
  leave(): void;
}

export class Controls {
  readonly element: HTMLElement;
  readonly #room: Room;
  readonly #mute: Control;
  readonly #camera: Control;
  readonly #hand: Control;
  readonly #share: Control;
  readonly #call: Control;
  readonly #stats: Control;
  readonly #chat: Control;

  constructor(room: Room, handlers: ControlHandlers) {
    this.#room = room;
    this.#mute = new Control("mute", "M", handlers.mute);
    this.#camera = new Control("camera", "V", handlers.camera);
    this.#camera.button.hidden = room.videoSlots.length === 0;
    this.#hand = new Control("hand", "H", handlers.hand);
    this.#share = new Control("share", null, handlers.share);
    this.#share.button.hidden = !canShare();
    this.#call = new Control("call-somebody", null, handlers.call);
    this.#call.show(ICONS.phone, "Call");
    this.#call.button.ariaLabel = "Call somebody";
    this.#call.button.ariaHasPopup = "dialog";
    this.#stats = new Control("stats-toggle", null, handlers.stats);
    this.#chat = new Control("chat-toggle", null, handlers.chat);
    const leave = new Control("leave", null, handlers.leave);
    leave.show(ICONS.leave, "Leave");
    this.#stats.show(ICONS.stats, "Stats");
    this.setStatsOpen(false);
    this.setUnread(0);
    const mine = [this.#mute, this.#camera, this.#hand, this.#share];
    const all = [...mine, this.#call, this.#chat, this.#stats, leave];
    this.element = h(
      "div",
      { className: "controls", role: "toolbar", aria: { label: "Controls" } },
      ...all.map(({ button }) => button),
    );
    this.update();
  }

  update(): void {
    const { me, audioTrack, sharedAudio, sharedVideo, videoTrack, videoSlots } = this.#room;
    const shares = sharedAudio !== null || sharedVideo !== null;
    const listens = me.role === "listener";
    const silent = me.muted || audioTrack === null;
    const label = listens ? "Listening" : silent ? "Unmute" : "Mute";
    this.#mute.show(silent || listens ? ICONS.micOff : ICONS.mic, label, listens ? "Listen" : label);
    this.#mute.button.disabled = listens;
    this.#mute.button.dataset.muted = String(silent);
    this.#mute.button.dataset.live = String(!silent && !listens);
    this.#camera.show(
      videoTrack ? ICONS.camera : ICONS.cameraOff,
      videoTrack ? "Stop video" : "Start video",
      "Video",
    );
    this.#camera.button.disabled = listens;
    this.#camera.button.dataset.live = String(videoTrack !== null);
    this.#hand.show(ICONS.hand, me.handRaised ? "Lower" : "Hand up", me.handRaised ? "Lower" : "Hand");
    this.#hand.button.ariaLabel = me.handRaised ? "Lower your hand" : "Hand up";
    this.#hand.button.dataset.raised = String(me.handRaised);
    this.#share.show(
      ICONS.share,
      shares ? "Stop sharing" : videoSlots.length > 0 ? "Share screen" : "Share sound",
      shares ? "Stop" : "Share",
    );
    this.#share.button.disabled = listens;
    this.#share.button.dataset.live = String(shares);
    this.#call.button.hidden = this.#room.dialRights === null;
  }

  /** Where calls are made. */
  get callButton(): HTMLElement | null {
    return this.#call.button.hidden ? null : this.#call.button;
  }

  setStatsOpen(open: boolean): void {
    this.#stats.button.ariaExpanded = String(open);
  }

  setChatOpen(open: boolean): void {
    this.#chat.button.ariaExpanded = String(open);
  }

  setUnread(count: number): void {
    this.#chat.show(ICONS.chat, count > 0 ? `Chat (${count})` : "Chat");
    this.#chat.button.dataset.unread = String(count);
  }
}

class Control {
  readonly button: HTMLButtonElement;
  readonly #key: string | null;

  constructor(testid: string, key: string | null, onclick: () => void) {
    this.button = h("button", { type: "button", className: "control", onclick, data: { testid } });
    this.#key = key;
    if (key) {
      this.button.title = `Key ${key}`;
      this.button.setAttribute("aria-keyshortcuts", key);
    }
  }

  /** `short` is what a narrow screen has place for. */
  show(strokes: string, label: string, short = label): void {
    if (this.button.dataset.label === label) return;
    this.button.dataset.label = label;
    this.button.ariaLabel = short === label ? null : label;
    const key = this.#key && h("kbd", { ariaHidden: "true" }, this.#key);
    this.button.replaceChildren(
      icon(strokes),
      h("span", { className: "label" }, label, key),
      h("span", { className: "short" }, short),
    );
  }
}
