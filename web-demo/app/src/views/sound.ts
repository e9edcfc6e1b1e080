// Which microphone, which camera, which output, how loud. Choices go out; the lists follow the devices that come and go.

import { devicesOf } from "../device.js";
import { h } from "../dom.js";
import { recall, remember } from "../preferences.js";
import { fillDevices } from "./devices.js";

export interface SoundHandlers {
  microphone(deviceId: string): void;
  camera(deviceId: string): void;
  output(deviceId: string): void;
  volume(volume: number): void;
}

export class Sound {
  readonly element: HTMLElement;
  readonly #microphone = h("select", { id: "mic-select", data: { testid: "mic-select" } });
  readonly #camera = h("select", { id: "camera-select", data: { testid: "camera-select" } });
  readonly #output = h("select", { id: "speaker-select", data: { testid: "speaker-select" } });
  readonly #refresh = () => void this.refresh();
  readonly #handlers: SoundHandlers;

  /** Without video there is no camera to choose. */
  constructor(withVideo: boolean, handlers: SoundHandlers) {
    this.#handlers = handlers;
    const volume = h("input", {
      type: "range",
      id: "volume",
      min: "0",
      max: "1",
      step: "0.05",
      value: recall("volume") || "1",
      data: { testid: "volume" },
    });
    volume.oninput = () => {
      remember("volume", volume.value);
      handlers.volume(volume.valueAsNumber);
    };
    this.#microphone.onchange = () => handlers.microphone(this.#microphone.value);
    this.#camera.onchange = () => {
      remember("camera", this.#camera.value);
      handlers.camera(this.#camera.value);
    };
    this.#output.onchange = () => {
      remember("output", this.#output.value);
      handlers.output(this.#output.value);
    };
    const canChoose = "setSinkId" in HTMLMediaElement.prototype;
    this.#output.disabled = !canChoose;
    this.element = h(
      "section",
      { className: "panel sound", aria: { label: "Devices" } },
      h("h2", {}, "Devices"),
      field("mic-select", "Microphone", this.#microphone),
      withVideo && field("camera-select", "Camera", this.#camera),
      field("speaker-select", canChoose ? "Output" : "Output (chosen by the system)", this.#output),
      field("volume", "Volume", volume),
    );
    navigator.mediaDevices?.addEventListener("devicechange", this.#refresh);
    void this.refresh();
  }

  async refresh(): Promise<void> {
    const [microphones, cameras, outputs] = await Promise.all([
      devicesOf("audioinput"),
      devicesOf("videoinput"),
      devicesOf("audiooutput"),
    ]);
    fillDevices(this.#microphone, microphones, recall("microphone"));
    fillDevices(this.#camera, cameras, recall("camera"));
    const before = this.#output.value;
    fillDevices(this.#output, outputs, recall("output"));
    // The chosen output was unplugged: what is played there would be lost.
    if (before !== "" && this.#output.value === "") this.#handlers.output("");
  }

  close(): void {
    navigator.mediaDevices?.removeEventListener("devicechange", this.#refresh);
  }
}

function field(id: string, label: string, control: HTMLElement): HTMLElement {
  return h("div", { className: "field" }, h("label", { htmlFor: id }, label), control);
}
