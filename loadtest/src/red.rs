//! RED (RFC 2198): a frame and the one before it in, one payload out; and the newest frame of a
//! payload.

/// A redundant block's timestamp offset has 14 bits, its length 10 (RFC 2198, section 3).
const OFFSET_MAX: u32 = (1 << 14) - 1;
const LENGTH_MAX: usize = (1 << 10) - 1;

/// A payload that holds `primary` and, if it fits the header, the frame sent `offset` ticks before.
pub fn encode(payload_type: u8, primary: &[u8], redundant: Option<(u32, &[u8])>) -> Vec<u8> {
    let mut payload = Vec::with_capacity(primary.len() + redundant.map_or(0, |(_, frame)| frame.len()) + 5);
    let redundant = redundant.filter(|(offset, frame)| *offset <= OFFSET_MAX && frame.len() <= LENGTH_MAX);
    if let Some((offset, frame)) = redundant {
        payload.push(0x80 | payload_type);
        payload.extend_from_slice(&(offset << 10 | frame.len() as u32).to_be_bytes()[1..]);
    }
    payload.push(payload_type & 0x7f);
    if let Some((_, frame)) = redundant {
        payload.extend_from_slice(frame);
    }
    payload.extend_from_slice(primary);
    payload
}

/// The newest frame of a RED payload: its last block. `None` if the payload is malformed.
pub fn primary(payload: &[u8]) -> Option<&[u8]> {
    let (mut rest, mut redundant_bytes) = (payload, 0);
    loop {
        let (first, after) = rest.split_first()?;
        if first & 0x80 == 0 {
            return after.get(redundant_bytes..);
        }
        let (header, after) = after.split_first_chunk::<3>()?;
        redundant_bytes += usize::from(header[1] & 0x03) << 8 | usize::from(header[2]);
        rest = after;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_primary_frame_is_found_behind_the_redundant_one() {
        let payload = encode(111, &[1, 2, 3], Some((960, &[9; 300])));
        assert_eq!(payload[..5], [0xef, 0x0f, 0x01, 0x2c, 0x6f], "960 ticks, 300 octets");
        assert_eq!(primary(&payload), Some(&[1, 2, 3][..]));
        assert_eq!(primary(&encode(111, &[1, 2, 3], None)), Some(&[1, 2, 3][..]));
    }

    #[test]
    fn what_does_not_fit_the_header_is_left_out() {
        assert_eq!(encode(111, &[1], Some((OFFSET_MAX + 1, &[2]))), [111, 1]);
        assert_eq!(encode(111, &[1], Some((960, &[2; LENGTH_MAX + 1]))), [111, 1]);
    }

    #[test]
    fn a_truncated_payload_has_no_frame() {
        assert_eq!(primary(&[]), None);
        assert_eq!(primary(&[0xef, 0x0f, 0x01]), None);
        assert_eq!(primary(&[0xef, 0x0f, 0x01, 0x2c, 0x6f, 1]), None);
    }
}
