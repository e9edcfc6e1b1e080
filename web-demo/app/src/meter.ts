// One's own track in, its level out: what the room hears of oneself needs no way round the server.

const PERIOD_MS = 80;

export class Meter {
  readonly #onLevel: (levelDbov: number) => void;
  #context: AudioContext | null = null;
  #timer: ReturnType<typeof setInterval> | undefined;

  constructor(onLevel: (levelDbov: number) => void) {
    this.#onLevel = onLevel;
  }

  watch(track: MediaStreamTrack | null): void {
    this.stop();
    if (!track) return;
    const context = new AudioContext();
    const analyser = new AnalyserNode(context, { fftSize: 2048 });
    context.createMediaStreamSource(new MediaStream([track])).connect(analyser);
    const samples = new Float32Array(analyser.fftSize);
    this.#context = context;
    this.#timer = setInterval(() => {
      analyser.getFloatTimeDomainData(samples);
      this.#onLevel(levelOf(samples));
    }, PERIOD_MS);
  }

  stop(): void {
    clearInterval(this.#timer);
    void this.#context?.close();
    this.#context = null;
    this.#onLevel(-127);
  }
}

/** The root mean square in dB below a full-scale square wave (RFC 6465, section 3). */
export function levelOf(samples: Float32Array): number {
  let energy = 0;
  for (const sample of samples) energy += sample * sample;
  const rms = Math.sqrt(energy / Math.max(1, samples.length));
  return Math.max(-127, Math.min(0, Math.round(20 * Math.log10(rms || 1e-7))));
}
