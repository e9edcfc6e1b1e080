// A page that is in a room through the SDK, publishes a tone, and listens to each slot through an FFT.

/** What is quieter than this part of the usual is a gap. */
const GAP_BELOW = 0.1;
/** What is louder than this many times the usual is heard twice. */
const LOUD_ABOVE = 1.3;
/** A tone of an amplitude below this, of 1, is none. */
const AUDIBLE = 0.02;

/** Opens a page and joins. `gain` 0 to 1 sets the tone's loudness; without `toneHz` nothing is published. */
export async function joinAs(browser, server, { room, name, role = "speaker", toneHz, gain = 0.5, sdk = {} }) {
  const page = await browser.newPage();
  // Any page of the server's origin will do; this one has no scripts of its own.
  await page.goto(`${server.url}/healthz`);
  await page.evaluate(enterRoom, { room, name, role, toneHz, gain, sdk });
  return new Talker(page, name);
}

/** Handles a page of `joinAs`. */
class Talker {
  constructor(page, name) {
    this.page = page;
    this.name = name;
  }

  /** The participant's id. */
  id() {
    return this.page.evaluate(() => window.room.me.id);
  }

  /** Calls a function of the page's `window.room` with arguments that JSON can carry. */
  call(method, ...args) {
    return this.page.evaluate(([name, values]) => window.room[name](...values), [method, args]);
  }

  /** Waits until a function of the room, evaluated in the page, is true. */
  async until(predicate, argument) {
    await this.page.waitForFunction(predicate, argument, { timeout: 15_000, polling: 100 });
  }

  /** The tones that are heard now, in Hz, by slot; `null` where there is silence. */
  async tones() {
    return this.page.evaluate(() => window.listen());
  }

  /** Sets the loudness of the own tone, 0 to 1. */
  setGain(gain) {
    return this.page.evaluate((value) => window.tone.gain.setValueAtTime(value, 0), gain);
  }

  /** Shares a tone as the sound of a screen, or nothing. */
  share(toneHz) {
    return this.page.evaluate((hz) => window.share(hz), toneHz);
  }

  /** Begins to write down how loud these tones are, multiples of 100 Hz, in what all slots play together, each 10 ms. */
  record(tonesHz) {
    return this.page.evaluate((tones) => window.record(tones), tonesHz);
  }

  /**
   * What was written down since the last time, for each tone: how long it was heard, the longest gap in it, and how long it
   * was louder than usual.
   */
  async recorded() {
    const { blockMs, levels } = await this.page.evaluate(() => window.recorded());
    return levels[0].map((_, tone) => summary(levels.map((block) => block[tone]), blockMs));
  }

  /** Inbound statistics of the sound, summed over the slots. */
  inbound() {
    return this.page.evaluate(async () => {
      const sum = { packetsReceived: 0, packetsLost: 0, concealmentEvents: 0, audibleConcealed: 0, samples: 0 };
      for (const stat of (await window.room.peerConnection.getStats()).values()) {
        if (stat.type !== "inbound-rtp" || stat.kind !== "audio") continue;
        sum.packetsReceived += stat.packetsReceived;
        sum.packetsLost += stat.packetsLost;
        sum.concealmentEvents += stat.concealmentEvents;
        sum.audibleConcealed += stat.concealedSamples - stat.silentConcealedSamples;
        sum.samples += stat.totalSamplesReceived;
      }
      return sum;
    });
  }
}

// Runs in the page.
async function enterRoom({ room, name, role, toneHz, gain, sdk }) {
  const { connect } = await import("/sdk/tercet.js");
  const reply = await fetch("/v1/demo/token", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ room, name, role }),
  });
  const { token } = await reply.json();
  const audio = new AudioContext();
  let audioTrack = null;
  if (toneHz) {
    const oscillator = new OscillatorNode(audio, { frequency: toneHz });
    window.tone = new GainNode(audio, { gain });
    window.microphone = new MediaStreamAudioDestinationNode(audio);
    oscillator.connect(window.tone).connect(window.microphone);
    oscillator.start();
    audioTrack = window.microphone.stream.getAudioTracks()[0];
  }
  window.room = await connect({ url: location.origin, token, audioTrack, ...sdk });
  window.share = (hz) => {
    if (hz === null) return window.room.shareAudio(null);
    const shared = new OscillatorNode(audio, { frequency: hz });
    const sound = new MediaStreamAudioDestinationNode(audio);
    shared.connect(new GainNode(audio, { gain: 0.3 })).connect(sound);
    shared.start();
    return window.room.shareAudio(sound.stream.getAudioTracks()[0]);
  };
  window.negotiations = 0;
  window.room.peerConnection.addEventListener("signalingstatechange", () => window.negotiations++);

  const analysers = new Map();
  // One analyser a track: after a reconnect a slot can have another one.
  const analyserOf = (track) => {
    if (!analysers.has(track)) {
      const stream = new MediaStream([track]);
      // Chromium decodes a remote track only while a media element plays it.
      const element = new Audio();
      element.srcObject = stream;
      element.play();
      const analyser = new AnalyserNode(audio, { fftSize: 8192, smoothingTimeConstant: 0 });
      audio.createMediaStreamSource(stream).connect(analyser);
      analysers.set(track, { analyser, element });
    }
    return analysers.get(track).analyser;
  };
  const SILENCE_DB = -70;
  const loudestHz = (analyser) => {
    const bins = new Float32Array(analyser.frequencyBinCount);
    analyser.getFloatFrequencyData(bins);
    const hzPerBin = audio.sampleRate / analyser.fftSize;
    let loudest = Math.ceil(100 / hzPerBin);
    for (let bin = loudest; bin < bins.length; bin++) {
      if (bins[bin] > bins[loudest]) loudest = bin;
    }
    return bins[loudest] < SILENCE_DB ? null : loudest * hzPerBin;
  };
  const levels = [];
  window.recorded = () => ({ blockMs: 10, levels: levels.splice(0) });
  window.record = async (tonesHz) => {
    const { port, meter } = await openMeter(tonesHz);
    port.onmessage = ({ data }) => levels.push(data);
    let sources = new Map();
    // As an application does: it plays the tracks that the slots have now, and no others.
    const follow = () => {
      const now = new Map();
      for (const { track } of window.room.slots) {
        analyserOf(track);
        const source = sources.get(track) ?? audio.createMediaStreamSource(new MediaStream([track]));
        if (!sources.has(track)) source.connect(meter);
        now.set(track, source);
      }
      for (const [track, source] of sources) if (!now.has(track)) source.disconnect();
      sources = now;
    };
    window.room.on("slots", follow);
    follow();
  };
  const openMeter = async (tonesHz) => {
    // Of each tone the part that is in a block: 10 ms hold whole periods of multiples of 100 Hz.
    const processor = `registerProcessor("meter", class extends AudioWorkletProcessor {
      samples = [];
      process([[channel]]) {
        for (let n = 0; n < 128; n++) {
          this.samples.push(channel?.[n] ?? 0);
          if (this.samples.length < sampleRate / 100) continue;
          this.port.postMessage(${JSON.stringify(tonesHz)}.map((hz) => this.amplitude(hz)));
          this.samples = [];
        }
        return true;
      }
      amplitude(hz) {
        let [re, im] = [0, 0];
        for (const [n, sample] of this.samples.entries()) {
          re += sample * Math.cos((2 * Math.PI * hz * n) / sampleRate);
          im += sample * Math.sin((2 * Math.PI * hz * n) / sampleRate);
        }
        return (2 * Math.hypot(re, im)) / this.samples.length;
      }
    })`;
    await audio.audioWorklet.addModule(URL.createObjectURL(new Blob([processor], { type: "text/javascript" })));
    const meter = new AudioWorkletNode(audio, "meter", { channelCount: 1, channelCountMode: "explicit" });
    return { port: meter.port, meter };
  };
  window.listen = () => window.room.slots.map((slot) => loudestHz(analyserOf(slot.track)));
  window.listenToScreen = () => loudestHz(analyserOf(window.room.screen.track));
  window.listen();
  window.listenToScreen();
}

function summary(levels, blockMs) {
  const heard = levels.filter((level) => level > AUDIBLE);
  const usual = heard.sort((a, b) => a - b)[Math.floor(heard.length / 2)] ?? 0;
  let [gap, gapMs] = [0, 0];
  for (const level of levels) {
    gap = level < Math.max(AUDIBLE, GAP_BELOW * usual) ? gap + blockMs : 0;
    gapMs = Math.max(gapMs, gap);
  }
  const loud = heard.filter((level) => level > LOUD_ABOVE * usual);
  return { ms: levels.length * blockMs, heardMs: heard.length * blockMs, gapMs, loudMs: loud.length * blockMs };
}

/** Which of the known tones are heard, in ascending order; a tone that nobody sends is an error. */
export async function knownTones(talker, known) {
  const heard = [];
  for (const hz of await talker.tones()) {
    if (hz === null) continue;
    const match = known.find((tone) => Math.abs(tone - hz) < 25);
    if (match === undefined) throw new Error(`${talker.name} hears ${hz} Hz, which nobody sends`);
    heard.push(match);
  }
  return heard.sort((a, b) => a - b);
}

/** Waits until exactly these tones are heard. */
export async function untilHears(talker, wanted, known, withinMs = 10_000) {
  const end = Date.now() + withinMs;
  let last;
  do {
    await new Promise((resolve) => setTimeout(resolve, 200));
    try {
      last = JSON.stringify(await knownTones(talker, known));
    } catch (error) {
      // While speakers change, an FFT window can hold a bit of both.
      last = error.message;
    }
    if (last === JSON.stringify(wanted)) return;
  } while (Date.now() < end);
  throw new Error(`${talker.name} should hear ${JSON.stringify(wanted)}, but hears ${last}`);
}

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
