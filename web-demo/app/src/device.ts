// Microphones and cameras: what can go wrong with one has a name each, because each has another remedy.

export type DeviceTrouble = "insecure" | "refused" | "missing" | "busy" | "ended";

/** What is said of each trouble. */
export type Sentences = Record<DeviceTrouble, string>;

export class DeviceError extends Error {
  constructor(
    readonly trouble: DeviceTrouble,
    sentences: Sentences,
  ) {
    super(sentences[trouble]);
  }
}

/** Rejects with a `DeviceError`. */
export async function openDevice(
  constraints: MediaStreamConstraints,
  sentences: Sentences,
): Promise<MediaStreamTrack> {
  if (!navigator.mediaDevices) throw new DeviceError("insecure", sentences);
  const stream = await navigator.mediaDevices.getUserMedia(constraints).catch((error: unknown) => {
    throw new DeviceError(troubleOf(error), sentences);
  });
  const [track] = stream.getTracks();
  if (!track) throw new DeviceError("missing", sentences);
  return track;
}

export async function devicesOf(
  kind: "audioinput" | "audiooutput" | "videoinput",
): Promise<MediaDeviceInfo[]> {
  const devices = (await navigator.mediaDevices?.enumerateDevices()) ?? [];
  // Before permission they are there without id and name.
  return devices.filter((device) => device.kind === kind && device.deviceId !== "");
}

function troubleOf(error: unknown): DeviceTrouble {
  switch (error instanceof DOMException ? error.name : "") {
    case "NotAllowedError":
    case "SecurityError":
      return "refused";
    case "NotFoundError":
    case "OverconstrainedError":
      return "missing";
    default:
      return "busy";
  }
}
