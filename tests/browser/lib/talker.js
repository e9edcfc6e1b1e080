// A page that is in a room through the SDK, publishes a tone, and listens to each slot through an FFT.

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

  /** Inbound statistics, summed over the slots. */
  inbound() {
    return this.page.evaluate(async () => {
      const sum = { packetsReceived: 0, packetsLost: 0, concealmentEvents: 0, audibleConcealed: 0, samples: 0 };
      for (const stat of (await window.room.peerConnection.getStats()).values()) {
        if (stat.type !== "inbound-rtp") continue;
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
  window.listen = () => window.room.slots.map((slot) => loudestHz(analyserOf(slot.track)));
  window.listenToScreen = () => loudestHz(analyserOf(window.room.screen.track));
  window.listen();
  window.listenToScreen();
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
