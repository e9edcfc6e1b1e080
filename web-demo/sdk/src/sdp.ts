// The one change that is made to a session description: a wish that has no other interface in browsers.

/**
 * The server's answer, with `usedtx=1` (RFC 7587, section 6.1) among the Opus parameters of the first audio
 * m-line, which is the microphone's: its encoder then sends almost nothing in silence.
 */
export function withDtx(sdp: string): string {
  const start = sdp.indexOf("m=audio");
  if (start < 0) return sdp;
  const next = sdp.indexOf("\r\nm=", start);
  const end = next < 0 ? sdp.length : next;
  const section = sdp.slice(start, end);
  const payloadType = /^a=rtpmap:(\d+) opus\//im.exec(section)?.[1];
  if (payloadType === undefined || /usedtx=1/.test(section)) return sdp;
  const parameters = new RegExp(`^a=fmtp:${payloadType} .*$`, "m");
  const wished = parameters.test(section)
    ? section.replace(parameters, (line) => `${line.trimEnd()};usedtx=1`)
    : section.replace(
        new RegExp(`^a=rtpmap:${payloadType} .*$`, "m"),
        (line) => `${line.trimEnd()}\r\na=fmtp:${payloadType} usedtx=1`,
      );
  return sdp.slice(0, start) + wished + sdp.slice(end);
}
