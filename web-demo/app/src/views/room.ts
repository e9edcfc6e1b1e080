// The room: its events come in and go to the parts of the view that they concern; what people do in the parts goes
// back to the room. Everything that needs both is here.

import type { Participant, ParticipantField, Role, Room, RoomState, SpeakerLevel } from "@tercet/sdk";
import { announce } from "../announcer.js";
import { said } from "../connection.js";
import { DeviceError } from "../device.js";
import { h } from "../dom.js";
import { Meter } from "../meter.js";
import { MICROPHONE_SENTENCES } from "../microphone.js";
import { type News, newsOfMe } from "../news.js";
import { remember, rememberInTab } from "../preferences.js";
import { qualityOf } from "../quality.js";
import { sentenceOfError } from "../sentences.js";
import { Sharing, SharingError } from "../sharing.js";
import type { Voice } from "../voice.js";
import { Calls } from "./calls.js";
import { Chat } from "./chat.js";
import { Controls } from "./controls.js";
import { Dialler } from "./dialler.js";
import { Header } from "./header.js";
import { Invitation } from "./invitation.js";
import { type Action, Notices } from "./notices.js";
import { People } from "./people.js";
import { closeMenusOutside } from "./person.js";
import { Seeing } from "./seeing.js";
import { Sound } from "./sound.js";
import { Stats } from "./stats.js";
import { Verses } from "./verses.js";

const TICK_MS = 1000;
/** Levels come ten times a second, in a crowd twice: those that are older are nobody's any more. */
const LEVELS_LAPSE_MS = 1500;
/** In a larger crowd every arrival is not news. */
const NEWS_MAX = 30;

/** What a key clicks. */
const KEYS: Record<string, string> = {
  m: "[data-testid=mute]",
  v: "[data-testid=camera]",
  h: "[data-testid=hand]",
  g: ".tool-choice [aria-pressed=false]",
  s: "[data-testid=numbers]",
  p: "[data-testid=float]",
};

export class RoomView {
  readonly element: HTMLElement;
  readonly #room: Room;
  readonly #voice: Voice;
  readonly #header: Header;
  readonly #notices = new Notices();
  readonly #verses: Verses;
  readonly #invitation: Invitation;
  readonly #calls: Calls;
  readonly #dialler: Dialler;
  readonly #people: People;
  readonly #chat: Chat;
  readonly #stats = new Stats();
  readonly #sound: Sound;
  readonly #controls: Controls;
  readonly #sharing: Sharing;
  readonly #seeing: Seeing;
  readonly #meter: Meter;
  readonly #endings: (() => void)[] = [];
  /** What this page asked for and has no answer to yet: what else changes is others' doing. */
  readonly #asked = new Set<ParticipantField>();
  #role: Role;
  #mediaStood = false;
  #closing: { url: string; at: number } | null = null;
  #lapse: ReturnType<typeof setTimeout> | undefined;

  constructor(room: Room, voice: Voice) {
    this.#room = room;
    this.#voice = voice;
    this.#role = room.me.role;
    const complain = (error: unknown) => this.#complain(error);
    this.#header = new Header(room.id);
    this.#verses = new Verses(room, () => this.#soundBlocked());
    this.#invitation = new Invitation(room.id);
    this.#calls = new Calls(room, () => this.#controls.callButton, complain);
    this.#dialler = new Dialler((order) => room.dial(order));
    this.#seeing = new Seeing(room, this.#notices, {
      changed: () => this.#seeingChanged(),
      others: () => this.#people?.onStage ?? [],
      showPeople: () => this.#people.reveal(),
      ask: (field, request) => this.#ask(field, request),
      complain,
    });
    this.#people = new People(room, complain, (id) => void this.#seeing.watch(id));
    this.#chat = new Chat(room, (count) => this.#controls.setUnread(count));
    this.#sound = new Sound(room.videoSlots.length > 0, {
      camera: (deviceId) => void this.#seeing.useCamera(deviceId),
      microphone: (deviceId) => void this.#openMicrophone(deviceId),
      output: (deviceId) => void this.#verses.setOutput(deviceId).catch(complain),
      volume: (volume) => this.#verses.setVolume(volume),
    });
    this.#controls = new Controls(room, {
      mute: () => void this.#toggleMute(),
      camera: () => void this.#seeing.toggle(),
      hand: () => void this.#ask("handRaised", () => room.raiseHand(!room.me.handRaised)),
      share: () => void this.#toggleShare(),
      call: () => room.dialRights && this.#dialler.open(room.dialRights),
      chat: () => this.#controls.setChatOpen(this.#chat.toggle()),
      stats: () => this.#toggleStats(),
      leave: () => void room.leave(),
    });
    this.#sharing = new Sharing(room, () => this.#sharingChanged());
    this.#meter = new Meter((levelDbov) => this.#people.showMyLevel(this.#broken ? -127 : levelDbov));
    this.element = h(
      "div",
      { className: "room" },
      this.#header.element,
      h("div", { className: "alerts" }, this.#header.banner, this.#notices.element),
      h(
        "main",
        {},
        this.#seeing.pictures.element,
        this.#verses.element,
        this.#invitation.element,
        this.#calls.element,
        this.#people.element,
      ),
      h(
        "aside",
        { aria: { label: "Chat and sound" } },
        this.#stats.element,
        this.#chat.element,
        this.#sound.element,
      ),
      this.#controls.element,
      this.#dialler.element,
    );
    this.#controls.setChatOpen(this.#chat.open);
    this.#listen();
    this.#start();
  }

  /** What is to be said on entering: trouble with the microphone, or why one is here again. */
  begin(trouble: DeviceError | null, welcome = ""): void {
    if (trouble) this.#microphoneTrouble(trouble);
    if (welcome) this.#notices.show("rejoined", welcome);
  }

  focus(): void {
    this.#header.focus();
  }

  close(): void {
    for (const end of this.#endings) end();
    this.#voice.onEnded = () => {};
    void this.#sharing.stop();
    this.#seeing.close();
    this.#meter.stop();
    this.#verses.close();
    this.#calls.close();
    this.#people.close();
    this.#sound.close();
    this.#chat.close();
  }

  #start(): void {
    this.#meter.watch(this.#room.audioTrack);
    this.#invitation.update(this.#room.participantCount);
    this.#voice.onEnded = () => void this.#microphoneEnded();
    this.#muteIfVoiceless();
    this.#room.peerConnection.addEventListener("connectionstatechange", () => this.#tick());
    const ticking = setInterval(() => this.#tick(), TICK_MS);
    this.#endings.push(() => clearInterval(ticking), closeMenusOutside(this.element));
    this.#endings.push(() => clearTimeout(this.#lapse));
    // Alone one loses nothing by a reload.
    const unload = (event: BeforeUnloadEvent) => {
      if (this.#room.participantCount > 1) event.preventDefault();
    };
    window.addEventListener("beforeunload", unload);
    this.#endings.push(() => window.removeEventListener("beforeunload", unload));
    const keys = (event: KeyboardEvent) => this.#key(event);
    document.addEventListener("keydown", keys);
    this.#endings.push(() => document.removeEventListener("keydown", keys));
  }

  #listen(): void {
    const room = this.#room;
    this.#endings.push(
      room.on("participantjoined", (participant) => {
        this.#people.add(participant);
        this.#seeing.pictures.peopleChanged();
        this.#news(`${participant.name} joined.`);
      }),
      room.on("participantleft", (participant) => {
        this.#people.remove(participant);
        this.#seeing.left(participant);
        this.#news(`${participant.name} left.`);
      }),
      room.on("participantcount", (count) => {
        this.#people.recount();
        this.#seeing.pictures.peopleChanged();
        this.#invitation.update(count);
      }),
      room.on("participantupdated", (participant, changed) => this.#updated(participant, changed)),
      room.on("slots", () => this.#verses.update()),
      room.on("video", () => this.#seeing.pictures.update()),
      room.on("screen", ({ participant }) => {
        this.#verses.update();
        if (participant && participant !== room.me) this.#news(`${participant.name} shares sound.`);
      }),
      room.on("trackpublished", (track, participant) => {
        this.#published(participant);
        const isNews = track.origin === "screen_video" && participant !== room.me;
        if (isNews) this.#news(`${participant.name} shares a screen.`);
      }),
      room.on("trackunpublished", (_, participant) => this.#published(participant)),
      room.on("speakers", (levels) => this.#showLevels(levels)),
      room.on("call", (call) => this.#calls.update(call)),
      room.on("dialrights", (rights) => {
        this.#controls.update();
        this.#calls.refresh();
        if (!rights) this.#dialler.close();
      }),
      room.on("data", (message) => this.#chat.receive(message)),
      room.on("statechange", (state) => this.#stateChanged(state)),
      room.on("closing", (deadlineMs) => {
        this.#closing = { url: room.url, at: performance.now() + deadlineMs };
        this.#showConnection();
      }),
      room.on("error", (error) => this.#complain(error)),
    );
  }

  #updated(participant: Participant, changed: ReadonlySet<ParticipantField>): void {
    this.#people.update(participant);
    this.#verses.update();
    this.#seeing.pictures.peopleChanged();
    if (participant === this.#room.me) {
      this.#controls.update();
      for (const news of newsOfMe(participant, this.#role, changed, this.#asked)) this.#tell(news);
      this.#role = participant.role;
      if (changed.has("role")) void this.#myRoleChanged();
      // What a moderator turned off is off, and not only withheld.
      if (changed.has("cameraMuted") && participant.cameraMuted) void this.#seeing.stop();
      if (changed.has("screenVideoMuted") && participant.screenVideoMuted) void this.#sharing.stop();
      // Whoever is muted for want of a microphone didn't choose to be.
      if (changed.has("muted") && this.#room.audioTrack) rememberInTab("muted", String(participant.muted));
      if (this.#asked.has("muted")) announce(participant.muted ? "You are muted." : "You are unmuted.");
      return;
    }
    if (changed.has("handRaised") && participant.handRaised) announce(`${participant.name} raises a hand.`);
    if (changed.has("muted"))
      this.#news(`${participant.name} is ${participant.muted ? "muted" : "unmuted"}.`);
  }

  #published(participant: Participant): void {
    this.#people.update(participant);
    this.#seeing.pictures.peopleChanged();
  }

  /** Notices are read out where they appear: they need no announcement. */
  #tell({ kind, sentence }: News): void {
    const letBeHeard = () => void this.#ask("screenMuted", () => this.#room.muteScreen(false));
    const remedies: Partial<Record<News["kind"], Action>> = {
      muted: { label: "Unmute", testid: "unmute", run: () => void this.#toggleMute() },
      screen: { label: "Let it be heard", testid: "unmute-screen", run: letBeHeard },
      camera: { label: "Turn it on", testid: "camera-on", run: () => void this.#seeing.toggle() },
    };
    if (sentence === null) this.#notices.clear(kind);
    else this.#notices.show(kind, sentence, remedies[kind]);
  }

  async #ask(field: ParticipantField, request: () => Promise<void>): Promise<void> {
    this.#asked.add(field);
    await request().catch((error) => this.#complain(error));
    this.#asked.delete(field);
  }

  #news(sentence: string): void {
    if (this.#room.participantCount <= NEWS_MAX) announce(sentence);
  }

  #stateChanged(state: RoomState): void {
    this.element.dataset.state = state;
    if (state === "closed") return;
    if (state === "connected") {
      this.#notices.clear("error");
      announce(this.#mediaStood ? "Connected again." : "Audio is connected.");
    } else {
      this.#showLevels([]);
    }
    this.#showConnection();
  }

  get #broken(): boolean {
    return this.#room.state !== "connected";
  }

  #showConnection(): void {
    const { state, webSocket, peerConnection, url } = this.#room;
    const media = peerConnection.connectionState === "connected";
    this.#mediaStood ||= media;
    // Another node has the room by now.
    if (this.#closing?.url !== url) this.#closing = null;
    const { banner, countdown, notice } = said({
      state,
      signalling: webSocket !== null,
      media,
      mediaStood: this.#mediaStood,
      closesInMs: this.#closing && this.#closing.at - performance.now(),
    });
    this.#header.setBanner(banner, countdown);
    if (notice === null) this.#notices.clear("media");
    else if (!this.#notices.has("media")) this.#notices.show("media", notice);
  }

  /** What isn't heard isn't drawn: while the connection is broken, and when no levels follow. */
  #showLevels(levels: readonly SpeakerLevel[]): void {
    clearTimeout(this.#lapse);
    const heard = this.#broken ? [] : levels;
    this.#people.showLevels(heard);
    this.#verses.showLevels(heard);
    this.#seeing.showLevels(heard);
    if (heard.length > 0) this.#lapse = setTimeout(() => this.#showLevels([]), LEVELS_LAPSE_MS);
  }

  // --- one's own voice ---

  async #toggleMute(): Promise<void> {
    const { me, audioTrack } = this.#room;
    if (me.role === "listener") return;
    if (!audioTrack && !(await this.#openMicrophone())) return;
    // Who had no voice, or is muted, wants to be heard now.
    const muted = audioTrack !== null && !me.muted;
    // The wish counts, also when the session ends before the server heard of it.
    if (muted) rememberInTab("muted", "true");
    await this.#ask("muted", () => this.#room.mute(muted));
  }

  /** Takes the place of the microphone in use, if there is one. Whether it did. */
  async #openMicrophone(deviceId?: string): Promise<boolean> {
    // A listener's choice is kept for the time when they may speak.
    if (this.#room.me.role === "listener" && !this.#voice.isTone) {
      if (deviceId !== undefined) remember("microphone", deviceId);
      return false;
    }
    const former = this.#voice.track;
    try {
      const track = await this.#voice.open(deviceId);
      if (!track) return false;
      await this.#useTrack(track);
    } catch (error) {
      if (error instanceof DeviceError) this.#microphoneTrouble(error);
      else this.#complain(error);
      return false;
    }
    this.#voice.release(former);
    this.#notices.clear("microphone");
    void this.#sound.refresh();
    return true;
  }

  async #useTrack(track: MediaStreamTrack | null): Promise<void> {
    await this.#room.setAudioTrack(track);
    this.#meter.watch(track);
    this.#controls.update();
  }

  #microphoneTrouble(error: DeviceError): void {
    const run = () => void this.#toggleMute();
    this.#notices.show("microphone", error.message, { label: "Try again", testid: "mic-retry", run });
  }

  async #microphoneEnded(): Promise<void> {
    this.#voice.releaseAll();
    await this.#useTrack(null);
    this.#microphoneTrouble(new DeviceError("ended", MICROPHONE_SENTENCES));
    this.#muteIfVoiceless();
  }

  /** Everybody sees who can't be heard. */
  #muteIfVoiceless(): void {
    const { me, audioTrack } = this.#room;
    if (me.role === "listener" || audioTrack || me.muted) return;
    void this.#ask("muted", () => this.#room.mute(true));
  }

  async #myRoleChanged(): Promise<void> {
    const { role } = this.#room.me;
    if (role === "listener") {
      this.#notices.clear("promotion");
      this.#notices.clear("muted");
      if (!this.#voice.isTone) {
        await this.#useTrack(null);
        this.#voice.releaseAll();
      }
      await this.#sharing.stop();
      await this.#seeing.stop();
    } else if (!this.#room.audioTrack) {
      // A promotion is no consent to be recorded: the microphone waits for a click.
      this.#muteIfVoiceless();
      this.#notices.show("promotion", "You may speak now.", {
        label: "Turn on microphone",
        testid: "mic-turn-on",
        run: () => {
          this.#notices.clear("promotion");
          void this.#toggleMute();
        },
      });
    }
  }

  // --- what one shares ---

  async #toggleShare(): Promise<void> {
    try {
      await (this.#sharing.isOn ? this.#sharing.stop() : this.#sharing.start());
    } catch (error) {
      if (error instanceof SharingError) this.#notices.show("share", error.message);
      else this.#complain(error);
    }
  }

  #sharingChanged(): void {
    this.#notices.clear("share");
    if (!this.#room.sharedAudio) this.#notices.clear("screen");
    if (this.#room.sharedVideo) this.#notices.clear("screen-video");
    this.#controls.update();
    this.#verses.update();
  }

  #seeingChanged(): void {
    this.#controls.update();
    this.#people.refresh();
    void this.#sound.refresh();
  }

  // --- hearing ---

  #soundBlocked(): void {
    this.#notices.show("sound", "The browser holds the sound back until you ask for it.", {
      label: "Tap to hear",
      testid: "unblock",
      run: () => {
        this.#notices.clear("sound");
        this.#verses.playAll();
      },
    });
  }

  #tick(): void {
    this.#showConnection();
    void this.#measure();
  }

  async #measure(): Promise<void> {
    if (this.#room.state === "closed") return;
    const stats = await this.#room.stats();
    const flows = this.#room.peerConnection.connectionState === "connected";
    this.#header.setQuality(flows ? (this.#broken ? "poor" : qualityOf(stats)) : null);
    this.#seeing.pictures.showStats(stats);
    this.#stats.show(stats, (id) => this.#room.participants.get(id)?.name ?? id);
  }

  // --- the rest ---

  #toggleStats(): void {
    this.#controls.setStatsOpen(this.#stats.toggle());
    void this.#measure().then(() => this.#stats.reveal());
  }

  #key(event: KeyboardEvent): void {
    const { target } = event;
    const writes = target instanceof Element && target.closest("input:not([type=range]), select, textarea");
    if (writes || event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
    const button = this.element.querySelector<HTMLElement>(KEYS[event.key.toLowerCase()] ?? "[data-none]");
    if (button?.checkVisibility()) button.click();
  }

  #complain(error: unknown): void {
    this.#notices.show("error", sentenceOfError(error));
  }
}
