// The least of a phone, for measurements: a call in G.711 that says nothing, and writes down when sound came.

import { createSocket } from "node:dgram";
import { once } from "node:events";

/** What of 1 is sound: 20 dB below a tone that is measured, and above what G.711 and concealment make of silence. */
const LOUD = 0.03;
/** Sound that comes after so many packets without any begins anew: a tone may have gaps. */
const QUIET_PACKETS = 5;

/** Of the same clock as `Date.now()` in a page, and finer. */
export function now() {
  return performance.timeOrigin + performance.now();
}

/** A call in PCMU of somebody who says nothing (RFC 3261, RFC 3264): on loopback nothing is lost, so nothing is sent twice. */
export class Line {
  /** When sound began after silence. */
  onsets = [];
  #isLoud = false;
  #quietPackets = 0;
  #sequence = 0;

  static async open(uri) {
    const line = new Line();
    const [, host, port] = uri.match(/@(.*):(\d+)$/);
    line.server = [Number(port), host];
    line.uri = uri;
    line.sip = createSocket("udp4");
    line.rtp = createSocket("udp4");
    for (const socket of [line.sip, line.rtp]) {
      socket.bind(0, "127.0.0.1");
      await once(socket, "listening");
    }
    line.id = Math.random().toString(36).slice(2);
    line.rtp.on("message", (packet) => line.#hear(packet, now()));
    const sdp = `v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio ${line.rtp.address().port} RTP/AVP 0\r\n`;
    line.#send("INVITE", 1, sdp);
    const [, rtpPort] = (await line.#untilAnswered(1)).match(/^m=audio (\d+)/m);
    line.#send("ACK", 1);
    line.talking = setInterval(() => line.#say(Number(rtpPort)), 20);
    return line;
  }

  async hangUp() {
    clearInterval(this.talking);
    this.#send("BYE", 2);
    await this.#untilAnswered(2);
    this.sip.close();
    this.rtp.close();
  }

  #send(method, number, sdp = "") {
    const own = `127.0.0.1:${this.sip.address().port}`;
    const message = [
      `${method} ${this.contact ?? this.uri} SIP/2.0`,
      `Via: SIP/2.0/UDP ${own};branch=z9hG4bK${this.id}${method}`,
      `From: <sip:line@${own}>;tag=${this.id}`,
      `To: ${this.to ?? `<${this.uri}>`}`,
      `Call-ID: ${this.id}`,
      `CSeq: ${number} ${method}`,
      "Max-Forwards: 70",
      `Contact: <sip:line@${own}>`,
      ...(sdp ? ["Content-Type: application/sdp"] : []),
      `Content-Length: ${sdp.length}`,
      "",
      sdp,
    ].join("\r\n");
    this.sip.send(message, ...this.server);
  }

  async #untilAnswered(number) {
    const signal = AbortSignal.timeout(5000);
    for (;;) {
      const [datagram] = await once(this.sip, "message", { signal });
      const answer = datagram.toString();
      const status = Number(answer.match(/^SIP\/2\.0 (\d+)/)?.[1]);
      if (!(status >= 200) || !answer.match(new RegExp(`^CSeq: *${number} `, "im"))) continue;
      if (status !== 200) throw new Error(`the call was answered by ${answer}`);
      [, this.to] = answer.match(/^To: *(.*?)\r$/im);
      this.contact ??= answer.match(/^Contact: *<(.*?)>/im)?.[1];
      return answer;
    }
  }

  /** 20 ms of silence. */
  #say(port) {
    const packet = Buffer.alloc(172, 0xff);
    packet.writeUInt16BE(0x8000);
    packet.writeUInt16BE(this.#sequence & 0xffff, 2);
    packet.writeUInt32BE(160 * this.#sequence++, 4);
    packet.writeUInt32BE(1, 8);
    this.rtp.send(packet, port, "127.0.0.1");
  }

  #hear(packet, arrivedMs) {
    const samples = [...packet.subarray(12)].map(fromUlaw);
    const place = samples.findIndex((sample) => Math.abs(sample) > LOUD);
    if (place >= 0 && !this.#isLoud) this.onsets.push({ arrivedMs, placeMs: place / 8 });
    this.#quietPackets = place >= 0 ? 0 : this.#quietPackets + 1;
    if (place >= 0) this.#isLoud = true;
    else if (this.#quietPackets >= QUIET_PACKETS) this.#isLoud = false;
  }
}

/** ITU-T G.711, as a number of -1 to 1. */
function fromUlaw(byte) {
  const code = ~byte & 0xff;
  const magnitude = ((((code & 0x0f) << 3) + 0x84) << ((code >> 4) & 7)) - 0x84;
  return (code & 0x80 ? -magnitude : magnitude) / 32_768;
}
