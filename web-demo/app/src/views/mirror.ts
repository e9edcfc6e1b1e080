// Oneself before one enters: a switch, the picture of a camera, and which camera. A track goes out with the form; what goes
// wrong is a sentence below it.

import { cameraEnded, closeCamera, openCamera } from "../camera.js";
import { devicesOf } from "../device.js";
import { h, ICONS, icon } from "../dom.js";
import { recall } from "../preferences.js";
import { fillDevices } from "./devices.js";
import { load } from "./tile.js";

export class Mirror {
  readonly element: HTMLElement;
  readonly #video = h("video", {
    muted: true,
    autoplay: true,
    playsInline: true,
    ariaLabel: "Your own picture",
  });
  readonly #switch: HTMLButtonElement;
  readonly #devices = h("select", { id: "join-camera-select", data: { testid: "join-camera-select" } });
  readonly #choice: HTMLElement;
  readonly #trouble = h("p", { className: "hint", role: "status", data: { testid: "join-camera-trouble" } });
  readonly #refresh = () => void this.#refreshDevices();
  #track: MediaStreamTrack | null = null;
  #isAsking = false;

  constructor() {
    const onclick = () => void (this.#track ? this.stop() : this.#start());
    this.#switch = h("button", {
      type: "button",
      className: "mirror-switch",
      onclick,
      data: { testid: "join-camera" },
    });
    this.#choice = h(
      "div",
      { className: "field" },
      h("label", { htmlFor: "join-camera-select" }, "Camera"),
      this.#devices,
    );
    this.#devices.onchange = () => void this.#start(this.#devices.value);
    this.element = h(
      "div",
      { className: "mirror" },
      h("div", { className: "mirror-picture" }, this.#video, this.#switch),
      this.#choice,
      this.#trouble,
    );
    navigator.mediaDevices?.addEventListener("devicechange", this.#refresh);
    this.#show();
  }

  /** The picture that one would enter with. */
  get track(): MediaStreamTrack | null {
    return this.#track;
  }

  stop(): void {
    closeCamera(this.#track);
    this.#track = null;
    this.#show();
  }

  /** The form is gone; whoever took the track has it. */
  close(): void {
    navigator.mediaDevices?.removeEventListener("devicechange", this.#refresh);
    this.#video.srcObject = null;
  }

  async #start(deviceId?: string): Promise<void> {
    if (this.#isAsking) return;
    this.#isAsking = true;
    this.#trouble.textContent = "";
    try {
      const track = await openCamera(deviceId);
      closeCamera(this.#track);
      this.#track = track;
      track.onended = () => {
        this.#trouble.textContent = cameraEnded().message;
        this.stop();
      };
    } catch (error) {
      this.#trouble.textContent = error instanceof Error ? error.message : String(error);
    } finally {
      this.#isAsking = false;
      this.#show();
    }
  }

  #show(): void {
    const isOn = this.#track !== null;
    load(this.#video, this.#track);
    this.element.dataset.live = String(isOn);
    const label = isOn ? "Turn the camera off" : "Turn the camera on";
    this.#switch.replaceChildren(icon(isOn ? ICONS.camera : ICONS.cameraOff), h("span", {}, label));
    this.#trouble.hidden = this.#trouble.textContent === "";
    void this.#refreshDevices();
  }

  /** A choice of one is none. */
  async #refreshDevices(): Promise<void> {
    const cameras = this.#track ? await devicesOf("videoinput") : [];
    this.#choice.hidden = cameras.length < 2;
    fillDevices(this.#devices, cameras, recall("camera"));
  }
}
