//! SRTP's part: a frame sealed with the key of its destination.

use anyhow::Context;
use aws_lc_rs::aead::{Aad, Algorithm, LessSafeKey, Nonce, UnboundKey};

/// A stamped Opus frame of 20 ms, about 32 kbit/s.
pub(crate) const VOICE_BYTES: usize = 80;
/// RTP header, one CSRC, and the extensions of level and MID: authenticated, not encrypted.
const HEADER_BYTES: usize = 12 + 4 + 4 + 8;
const TAG_BYTES: usize = 16;

/// Of a payload's packet.
pub(super) fn datagram_bytes(payload_bytes: usize) -> usize {
    HEADER_BYTES + payload_bytes + TAG_BYTES
}

/// A key for each destination: the key schedules of thousands don't stay in the nearest cache.
pub(super) struct Sealer {
    keys: Vec<LessSafeKey>,
    /// Of the packet, as the rollover counter and the sequence number are (RFC 7714, section 8.1).
    index: u64,
    datagram: Vec<u8>,
}

impl Sealer {
    pub(super) fn new(
        algorithm: &'static Algorithm,
        destinations: u32,
        payload_bytes: usize,
    ) -> anyhow::Result<Sealer> {
        let key = |_| {
            let bytes: Vec<u8> = (0..algorithm.key_len()).map(|_| rand::random()).collect();
            anyhow::Ok(LessSafeKey::new(UnboundKey::new(algorithm, &bytes).context("AES-GCM key")?))
        };
        let keys = (0..destinations).map(key).collect::<anyhow::Result<_>>()?;
        Ok(Sealer { keys, index: 0, datagram: vec![0x55; datagram_bytes(payload_bytes)] })
    }

    /// The datagram for a destination.
    pub(super) fn seal(&mut self, destination: u32) -> anyhow::Result<&[u8]> {
        self.index += 1;
        let mut nonce = [7; 12];
        nonce[4..].copy_from_slice(&self.index.to_be_bytes());
        let (header, rest) = self.datagram.split_at_mut(HEADER_BYTES);
        let (payload, tag) = rest.split_at_mut(rest.len() - TAG_BYTES);
        // The payload of before is as good as any.
        let sealed = self.keys[destination as usize]
            .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::from(header), payload)
            .context("AES-GCM")?;
        tag.copy_from_slice(sealed.as_ref());
        Ok(&self.datagram)
    }
}
