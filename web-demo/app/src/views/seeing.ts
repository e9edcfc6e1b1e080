// Cameras in the room: one's own, switched on and off, and the pictures of others. What goes wrong with it is a notice.

import type { Participant, ParticipantField, Room, SpeakerLevel } from "@tercet/sdk";
import { Camera } from "../camera.js";
import { DeviceError } from "../device.js";
import type { Notices } from "./notices.js";
import { Pictures } from "./pictures.js";

export interface SeeingHandlers {
  /** Who matters, seen or not. */
  others(): readonly Participant[];
  /** Everybody is wanted. */
  showPeople(): void;
  /** One's own camera is on or off, or somebody else is watched. */
  changed(): void;
  ask(field: ParticipantField, request: () => Promise<void>): Promise<void>;
  complain(error: unknown): void;
}

export class Seeing {
  readonly pictures: Pictures;
  readonly #room: Room;
  readonly #notices: Notices;
  readonly #handlers: SeeingHandlers;
  readonly #camera: Camera;

  constructor(room: Room, notices: Notices, handlers: SeeingHandlers) {
    this.#room = room;
    this.#notices = notices;
    this.#handlers = handlers;
    this.pictures = new Pictures(room, (id) => void this.watch(id), handlers.others, handlers.showPeople);
    this.#camera = new Camera(room, {
      changed: () => this.#changed(),
      mute: (muted) => handlers.ask("cameraMuted", () => room.muteCamera(muted)),
      ended: (error) => this.#trouble(error),
    });
  }

  async toggle(): Promise<void> {
    if (this.#room.videoTrack) return this.stop();
    await this.#start();
  }

  /** The one to be used from now on: at once if a camera is on. */
  async useCamera(deviceId: string): Promise<void> {
    if (this.#room.videoTrack) await this.#start(deviceId);
  }

  async stop(): Promise<void> {
    await this.#camera.stop().catch((error) => this.#handlers.complain(error));
  }

  /** Somebody in the first video slot, or whoever speaks. */
  async watch(id: string | null): Promise<void> {
    await this.#room.watch(id).catch((error) => this.#handlers.complain(error));
    this.#changed();
  }

  /** Whoever was watched isn't there any more. */
  left({ id }: Participant): void {
    if (id === this.#room.watched) void this.watch(null);
  }

  showLevels(levels: readonly SpeakerLevel[]): void {
    this.pictures.showLevels(levels);
  }

  close(): void {
    void this.stop();
    this.pictures.close();
  }

  async #start(deviceId?: string): Promise<void> {
    try {
      await this.#camera.start(deviceId);
    } catch (error) {
      if (error instanceof DeviceError) this.#trouble(error);
      else this.#handlers.complain(error);
    }
  }

  #changed(): void {
    if (this.#room.videoTrack) this.#notices.clear("camera");
    this.pictures.update();
    this.#handlers.changed();
  }

  #trouble(error: DeviceError): void {
    const run = () => void this.toggle();
    this.#notices.show("camera", error.message, { label: "Try again", testid: "camera-retry", run });
  }
}
