// Which microphone, which output, how loud. Choices go out; the lists follow the devices that come and go.

import { h } from "../dom.js";
import { devicesOf } from "../microphone.js";
import { recall, remember } from "../preferences.js";

export interface SoundHandlers {
  microphone(deviceId: string): void;
  output(deviceId: string): void;
  volume(volume: number): void;
}

export class Sound {
  readonly element: HTMLElement;
  readonly #microphone = h("select", { id: "mic-select", data: { testid: "mic-select" } });
  readonly #output = h("select", { id: "speaker-select", data: { testid: "speaker-select" } });
  readonly #refresh = () => void this.refresh();
  readonly #handlers: SoundHandlers;

  constructor(handlers: SoundHandlers) {
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
    this.#output.onchange = () => {
      remember("output", this.#output.value);
      handlers.output(this.#output.value);
    };
    const canChoose = "setSinkId" in HTMLMediaElement.prototype;
    this.#output.disabled = !canChoose;
    this.element = h(
      "section",
      { className: "panel sound", aria: { label: "Sound" } },
      h("h2", {}, "Sound"),
      field("mic-select", "Microphone", this.#microphone),
      field("speaker-select", canChoose ? "Output" : "Output (chosen by the system)", this.#output),
      field("volume", "Volume", volume),
    );
    navigator.mediaDevices?.addEventListener("devicechange", this.#refresh);
    void this.refresh();
  }

  async refresh(): Promise<void> {
    const [microphones, outputs] = await Promise.all([devicesOf("audioinput"), devicesOf("audiooutput")]);
    fill(this.#microphone, microphones, recall("microphone"));
    const before = this.#output.value;
    fill(this.#output, outputs, recall("output"));
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

function fill(select: HTMLSelectElement, devices: readonly MediaDeviceInfo[], chosen: string): void {
  const named = devices.filter(({ deviceId }) => deviceId !== "default" && deviceId !== "communications");
  select.replaceChildren(
    h("option", { value: "" }, "Default"),
    ...named.map(({ deviceId, label }, index) =>
      h("option", { value: deviceId }, label || `Device ${index + 1}`),
    ),
  );
  select.value = named.some(({ deviceId }) => deviceId === chosen) ? chosen : "";
}
