// Where one's own voice comes from: a device, or a tone for tests.

import { DeviceError, openDevice, type Sentences } from "./device.js";

export const MICROPHONE_SENTENCES: Sentences = {
  insecure: "Browsers give the microphone only to pages served by HTTPS or from this machine.",
  refused: "The microphone was refused. You can listen; allow it in the browser's address bar to speak.",
  missing: "No microphone was found. You can listen; connect one to speak.",
  ended: "The microphone was disconnected, or its permission taken back. You can still listen.",
  busy: "The microphone can't be used now, maybe another program has it. You can listen.",
};

/** Rejects with a `DeviceError`. */
export async function openMicrophone(deviceId: string): Promise<MediaStreamTrack> {
  const audio: MediaTrackConstraints = {
    echoCancellation: true,
    noiseSuppression: true,
    autoGainControl: true,
    // A preference: the device of the last visit may be gone.
    ...(deviceId ? { deviceId: { ideal: deviceId } } : {}),
  };
  return openDevice({ audio }, MICROPHONE_SENTENCES);
}

/** Test aid: an oscillator. */
export async function openTone(frequencyHz: number, gain: number): Promise<MediaStreamTrack> {
  const context = new AudioContext({ sampleRate: 48_000 });
  const destination = context.createMediaStreamDestination();
  const oscillator = new OscillatorNode(context, { frequency: frequencyHz });
  oscillator.connect(new GainNode(context, { gain })).connect(destination);
  oscillator.start();
  await context.resume();
  const [track] = destination.stream.getAudioTracks();
  if (!track) throw new DeviceError("missing", MICROPHONE_SENTENCES);
  return track;
}
