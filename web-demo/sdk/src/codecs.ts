// Codecs of this browser: which of them it sends, and which of them an m-line names first.

/** Whether this browser says that it sends it, such as `video/vp9`. */
export function sends(mimeType: string): boolean {
  const codecs = globalThis.RTCRtpSender?.getCapabilities?.(kindOf(mimeType))?.codecs ?? [];
  return codecs.some(isOf(mimeType));
}

/** What a browser doesn't have, or doesn't put in order, is left in its own order. */
export function putFirst(sending: RTCRtpTransceiver, mimeType: string): void {
  const codecs = globalThis.RTCRtpReceiver?.getCapabilities?.(kindOf(mimeType))?.codecs ?? [];
  const first = codecs.filter(isOf(mimeType));
  if (first.length === 0 || !sending.setCodecPreferences) return;
  try {
    sending.setCodecPreferences([...first, ...codecs.filter((codec) => !first.includes(codec))]);
  } catch (error) {
    console.warn(`tercet: ${mimeType} can't be put first`, error);
  }
}

function kindOf(mimeType: string): string {
  return mimeType.slice(0, mimeType.indexOf("/"));
}

function isOf(wanted: string): (codec: RTCRtpCodec) => boolean {
  return ({ mimeType }) => mimeType.toLowerCase() === wanted;
}
