// The list of devices to choose one from: devices come in, the options of a select go out.

import { h } from "../dom.js";

export function fillDevices(
  select: HTMLSelectElement,
  devices: readonly MediaDeviceInfo[],
  chosen: string,
): void {
  const named = devices.filter(({ deviceId }) => deviceId !== "default" && deviceId !== "communications");
  select.replaceChildren(
    h("option", { value: "" }, "Default"),
    ...named.map(({ deviceId, label }, index) =>
      h("option", { value: deviceId }, label || `Device ${index + 1}`),
    ),
  );
  select.value = named.some(({ deviceId }) => deviceId === chosen) ? chosen : "";
}
