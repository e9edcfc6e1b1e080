// One's own camera: a click comes in, a track of the room goes out. Of a camera that is off nothing is left, so that its lamp
// goes out; the mute of it is how others learn that at once.

import type { Room } from "@tercet/sdk";
import { DeviceError, openDevice, type Sentences } from "./device.js";
import { recall, remember } from "./preferences.js";

const SENTENCES: Sentences = {
  insecure: "Browsers give the camera only to pages served by HTTPS or from this machine.",
  refused: "The camera was refused. Allow it in the browser's address bar to be seen.",
  missing: "No camera was found. Connect one to be seen.",
  ended: "The camera was disconnected, or its permission taken back.",
  busy: "The camera can't be used now, maybe another program has it.",
};

const PICTURE: MediaTrackConstraints = {
  width: { ideal: 1280 },
  height: { ideal: 720 },
  frameRate: { ideal: 30 },
};

export interface CameraHandlers {
  /** The track of the room is another one, or none. */
  changed(): void;
  /** Tells the room whether the picture is withheld. */
  mute(muted: boolean): Promise<void>;
  /** The device was unplugged, or its permission taken back. */
  ended(error: DeviceError): void;
}

/** The camera that was chosen last, if none is named. Rejects with a `DeviceError`. */
export async function openCamera(deviceId = recall("camera")): Promise<MediaStreamTrack> {
  // A preference: the device of the last visit may be gone.
  const which: MediaTrackConstraints = deviceId ? { deviceId: { ideal: deviceId } } : { facingMode: "user" };
  const track = await openDevice({ video: { ...PICTURE, ...which } }, SENTENCES);
  remember("camera", deviceId);
  return track;
}

export function closeCamera(track: MediaStreamTrack | null): void {
  if (!track) return;
  track.onended = null;
  track.stop();
}

export function cameraEnded(): DeviceError {
  return new DeviceError("ended", SENTENCES);
}

export class Camera {
  readonly #room: Room;
  readonly #handlers: CameraHandlers;
  #isAsking = false;

  constructor(room: Room, handlers: CameraHandlers) {
    this.#room = room;
    this.#handlers = handlers;
    // It was on before one entered.
    if (room.videoTrack) this.#attend(room.videoTrack);
  }

  /** In place of the one that is on, if one is. Rejects with a `DeviceError`. */
  async start(deviceId?: string): Promise<void> {
    if (this.#isAsking) return;
    this.#isAsking = true;
    try {
      await this.#show(await openCamera(deviceId));
    } finally {
      this.#isAsking = false;
    }
  }

  async stop(): Promise<void> {
    const { videoTrack, me } = this.#room;
    if (!videoTrack) return;
    closeCamera(videoTrack);
    await this.#room.setVideoTrack(null);
    this.#handlers.changed();
    if (this.#room.state !== "closed" && !me.cameraMuted) await this.#handlers.mute(true);
  }

  async #show(track: MediaStreamTrack): Promise<void> {
    const { me, state, videoTrack: former } = this.#room;
    // People take their time with the browser's question, and may have left or lost the right to speak meanwhile.
    if (state === "closed" || me.role === "listener") return closeCamera(track);
    this.#attend(track);
    await this.#room.setVideoTrack(track);
    closeCamera(former);
    this.#handlers.changed();
    if (me.cameraMuted) await this.#handlers.mute(false);
  }

  #attend(track: MediaStreamTrack): void {
    track.onended = () => {
      void this.stop();
      this.#handlers.ended(cameraEnded());
    };
  }
}
