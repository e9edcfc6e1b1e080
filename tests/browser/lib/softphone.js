// A real softphone: baresip (`apt-get install baresip`), a process of its own, which calls, plays a tone, and records what it
// hears.

import { spawn } from "node:child_process";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { mkdtemp, open, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { sleep } from "./talker.js";

/** What phones speak, by the names of RTP. */
const CODECS = {
  PCMU: { account: "PCMU/8000/1", rateHz: 8000, channels: 1 },
  PCMA: { account: "PCMA/8000/1", rateHz: 8000, channels: 1 },
  G722: { account: "G722/16000/1", rateHz: 16_000, channels: 1 },
  opus: { account: "opus/48000/2", rateHz: 48_000, channels: 2 },
};

/** As loud as somebody who speaks up. */
const TONE_DBFS = -13;
const TONE_SECONDS = 60;

/** What a recording is judged by. */
const WINDOW_SECONDS = 0.5;

/** Where the ports of phones are: below those that systems choose from, and below those of the rig in Rust (tests/src/softphone.rs). */
const PORTS = { from: 10_000, aPhone: 10, phones: 900 };

let started = 0;

/** Starts a phone that says a tone, or is silent without one. `account` is what its account has besides, such as `;mediaenc=srtp-mand`. */
export async function startSoftphone({ name, codec = "PCMU", toneHz = 0, account = "" }) {
  const at = await mkdtemp(join(tmpdir(), "tercet-phone-"));
  const ports = await freePorts();
  const { account: audio } = CODECS[codec];
  await writeFile(join(at, "tone.wav"), toneFile(CODECS[codec], toneHz));
  await writeFile(join(at, "config"), configuration(at, ports));
  await writeFile(join(at, "accounts"), `<sip:${name}@127.0.0.1:${ports.sip}>;regint=0;audio_codecs=${audio}${account}\n`);
  await writeFile(join(at, "contacts"), "");
  const log = await open(join(at, "log"), "w");
  const phone = spawn("baresip", ["-f", at, "-t", "180"], { stdio: ["ignore", log.fd, log.fd] });
  phone.on("error", (error) => {
    throw new Error(`baresip can't be started (apt-get install baresip): ${error.message}`);
  });
  await log.close();
  const softphone = new Softphone(phone, at, ports);
  await softphone.untilUp();
  return softphone;
}

/** A baresip process. */
class Softphone {
  #process;
  #at;
  #ports;

  constructor(process, at, ports) {
    this.#process = process;
    this.#at = at;
    this.#ports = ports;
  }

  async untilUp() {
    for (const end = Date.now() + 5000; ; await sleep(50)) {
      const control = connect(this.#ports.control, "127.0.0.1");
      try {
        await once(control, "connect");
        return;
      } catch (error) {
        if (Date.now() > end) throw new Error(`baresip did not come up: ${await this.log()}`, { cause: error });
      } finally {
        control.destroy();
      }
    }
  }

  /** Registers as a user of a server, in whose configuration they are, besides being reached without. */
  async register(name, address, password) {
    await this.command("uanew", `<sip:${name}@${address}>;regint=60;auth_pass=${password};audio_codecs=PCMU/8000/1`);
    await this.untilLogged("200 OK");
  }

  /** Takes a call that rings. */
  accept() {
    return this.command("accept");
  }

  /** Calls, and waits until the call is answered. */
  async dial(uri) {
    await this.command("dial", uri);
    await this.untilLogged("Call established");
  }

  hangUp() {
    return this.command("hangup");
  }

  /** Puts the call on hold, or takes it from there. */
  hold(held) {
    return this.command(held ? "hold" : "resume");
  }

  /** Presses keys, as fast as a quick thumb. */
  async press(keys) {
    for (const key of keys) {
      await this.command("sndcode", key);
      await sleep(250);
    }
  }

  /** Any command of its menu, as a netstring of JSON; news of the call come on the same connection. */
  async command(command, params = "") {
    const control = connect(this.#ports.control, "127.0.0.1");
    const message = JSON.stringify({ command, params, token: "t" });
    control.setTimeout(3000, () => control.destroy(new Error(`baresip does not answer to ${message}`)));
    control.write(`${Buffer.byteLength(message)}:${message},`);
    let answer = "";
    for await (const data of control) {
      answer += data;
      if (answer.includes('"response":true')) return;
    }
    throw new Error(`baresip closed the connection: ${answer}`);
  }

  /** What it wrote. */
  log() {
    return readFile(join(this.#at, "log"), "utf8");
  }

  async untilLogged(text, withinMs = 10_000) {
    for (const end = Date.now() + withinMs; !(await this.log()).includes(text); await sleep(50)) {
      if (Date.now() > end) throw new Error(`no "${text}" in what baresip wrote: ${await this.log()}`);
    }
  }

  /** What it heard in the last so many seconds of the call that it is in, or was in last. */
  async heard(seconds) {
    const recordings = (await readdir(this.#at)).filter((name) => name.endsWith("dec.wav")).sort();
    if (recordings.length === 0) throw new Error(`baresip recorded nothing: ${await this.log()}`);
    return new Recording(await readFile(join(this.#at, recordings.at(-1)))).last(seconds);
  }

  async stop() {
    if (this.#process.exitCode === null && this.#process.signalCode === null) {
      this.#process.kill("SIGKILL");
      await once(this.#process, "exit");
    }
    await rm(this.#at, { recursive: true, force: true });
  }
}

/** What a phone heard. */
class Recording {
  /** `wav` may be a file that is being written, whose header doesn't know how long it is. */
  constructor(wav) {
    const channels = wav.readUInt16LE(22);
    const start = wav.indexOf("data") + 8;
    this.rateHz = wav.readUInt32LE(24);
    this.samples = new Float64Array(Math.floor((wav.length - start) / (2 * channels)));
    for (let n = 0; n < this.samples.length; n++) {
      for (let channel = 0; channel < channels; channel++) {
        this.samples[n] += wav.readInt16LE(start + 2 * (n * channels + channel)) / 32_768 / channels;
      }
    }
  }

  last(seconds) {
    const count = Math.round(seconds * this.rateHz);
    if (this.samples.length < count) throw new Error(`only ${this.samples.length / this.rateHz} s were recorded`);
    this.samples = this.samples.subarray(-count);
    return this;
  }

  /** The peak of a sine of this frequency, in dB below full scale: the median of all half seconds (Goertzel, Hann window). */
  levelDbfs(hz) {
    const count = WINDOW_SECONDS * this.rateHz;
    const levels = [];
    for (let from = 0; from + count <= this.samples.length; from += count) {
      let [re, im, gain] = [0, 0, 0];
      for (let n = 0; n < count; n++) {
        const window = 0.5 - 0.5 * Math.cos((2 * Math.PI * n) / count);
        const angle = (2 * Math.PI * hz * n) / this.rateHz;
        re += this.samples[from + n] * window * Math.cos(angle);
        im += this.samples[from + n] * window * Math.sin(angle);
        gain += window;
      }
      levels.push(20 * Math.log10(Math.max((2 * Math.hypot(re, im)) / gain, 1e-6)));
    }
    return levels.sort((a, b) => a - b)[Math.floor(levels.length / 2)];
  }

  /** How loud it is on the whole, in dB below full scale. */
  rmsDbfs() {
    const power = this.samples.reduce((sum, sample) => sum + sample * sample, 0) / this.samples.length;
    return 10 * Math.log10(Math.max(power, 1e-12));
  }
}

/** Ports that nobody has. Files of tests run as processes of their own, so each begins to look elsewhere. */
async function freePorts() {
  for (let tries = 0; tries < PORTS.phones; tries++) {
    const phone = (process.pid * 7 + started++) % PORTS.phones;
    const sip = PORTS.from + phone * PORTS.aPhone;
    // The port after `sip` is that of SIP over TLS.
    const ports = { sip, control: sip + 2, rtp: sip + 4, rtpLast: sip + 9 };
    if ((await isFree(sip)) && (await isFree(ports.control))) return ports;
  }
  throw new Error("no ports for a phone are left");
}

async function isFree(port) {
  const udp = createSocket("udp4");
  const tcp = createServer();
  try {
    udp.bind(port, "127.0.0.1");
    await once(udp, "listening");
    tcp.listen(port, "127.0.0.1");
    await once(tcp, "listening");
    return true;
  } catch (error) {
    if (error.code !== "EADDRINUSE") throw error;
    return false;
  } finally {
    udp.close();
    tcp.close();
  }
}

function configuration(at, { sip, control, rtp, rtpLast }) {
  const modules = ["g711", "g722", "opus", "aufile", "aubridge", "sndfile", "srtp", "ctrl_tcp"];
  return [
    `sip_listen 127.0.0.1:${sip}`,
    "net_interface 127.0.0.1",
    "audio_player aubridge,null",
    `audio_source aufile,${at}/tone.wav`,
    "audio_alert aubridge,alert",
    "audio_level no",
    `rtp_ports ${rtp}-${rtpLast}`,
    "rtcp_mux no",
    "jitter_buffer_delay 1-5",
    "module_path /usr/lib/baresip/modules",
    `ctrl_tcp_listen 127.0.0.1:${control}`,
    `snd_path ${at}`,
    "opus_bitrate 28000",
    ...modules.map((module) => `module ${module}.so`),
    "module_tmp account.so",
    "module_app menu.so",
    "",
  ].join("\n");
}

/** A tone as the codec's source wants it: a WAV file of 16 bits. */
function toneFile({ rateHz, channels }, toneHz) {
  const peak = 32_768 * 10 ** (TONE_DBFS / 20);
  const samples = new Int16Array(TONE_SECONDS * rateHz * channels);
  for (let n = 0; n < samples.length; n++) {
    const frame = Math.floor(n / channels);
    samples[n] = peak * Math.sin((2 * Math.PI * toneHz * frame) / rateHz);
  }
  const header = Buffer.alloc(44);
  header.write("RIFF");
  header.writeUInt32LE(36 + samples.byteLength, 4);
  header.write("WAVEfmt ", 8);
  header.writeUInt32LE(16, 16);
  // 1 is PCM.
  header.writeUInt16LE(1, 20);
  header.writeUInt16LE(channels, 22);
  header.writeUInt32LE(rateHz, 24);
  header.writeUInt32LE(rateHz * channels * 2, 28);
  header.writeUInt16LE(channels * 2, 32);
  header.writeUInt16LE(16, 34);
  header.write("data", 36);
  header.writeUInt32LE(samples.byteLength, 40);
  return Buffer.concat([header, Buffer.from(samples.buffer)]);
}
