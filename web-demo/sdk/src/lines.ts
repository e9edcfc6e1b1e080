// Which transceiver is which slot: the answer says it by their mids.

/** In the order of the slots; what the server gave none comes last. */
export function inOrder(
  transceivers: readonly RTCRtpTransceiver[],
  slots: readonly { index: number; mid: string }[],
): RTCRtpTransceiver[] {
  const rank = new Map(slots.map(({ index, mid }) => [mid, index]));
  const place = ({ mid }: RTCRtpTransceiver) => rank.get(mid ?? "") ?? Number.MAX_SAFE_INTEGER;
  return [...transceivers].sort((a, b) => place(a) - place(b));
}
