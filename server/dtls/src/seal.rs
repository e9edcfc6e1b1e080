//! Protects RTP packets with AES-GCM (RFC 7714), with keys that a DTLS handshake exported.

use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, Aad, Algorithm, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use str0m::config::CryptoProvider;
use str0m::crypto::SrtpProvider;
use str0m::crypto::dtls::SrtpProfile;

use crate::Exported;

/// RFC 7714, section 12: salts of AEAD ciphers have 96 bits.
const SALT_BYTES: usize = NONCE_LEN;

/// Labels of the key derivation (RFC 3711, section 4.3.2).
const LABEL_RTP_ENCRYPTION: u8 = 0;
const LABEL_RTP_SALT: u8 = 2;

/// One direction of an SRTP association: it seals what this end sends.
///
/// Two packets of an SSRC under one index would give the key away (RFC 7714, section 9.1): the indexes of a stream may
/// come from here or from str0m, whose keys are the same, but each is used once.
pub struct Sealer {
    key: LessSafeKey,
    salt: [u8; SALT_BYTES],
}

impl Sealer {
    /// `None` if the handshake settled on another cipher than AES-GCM.
    pub fn new(provider: &CryptoProvider, exported: &Exported) -> Option<Sealer> {
        let algorithm = match exported.profile {
            SrtpProfile::AEAD_AES_128_GCM => &AES_128_GCM,
            SrtpProfile::AEAD_AES_256_GCM => &AES_256_GCM,
            _ => return None,
        };
        let (key, salt) = master(&exported.material, algorithm.key_len(), exported.is_client)?;
        Sealer::derive(provider.srtp_provider, algorithm, key, salt)
    }

    fn derive(
        provider: &dyn SrtpProvider,
        algorithm: &'static Algorithm,
        master_key: &[u8],
        master_salt: &[u8],
    ) -> Option<Sealer> {
        let mut key = [0; 32];
        let key = &mut key[..algorithm.key_len()];
        derive(provider, master_key, master_salt, LABEL_RTP_ENCRYPTION, key);
        let mut salt = [0; SALT_BYTES];
        derive(provider, master_key, master_salt, LABEL_RTP_SALT, &mut salt);
        let key = LessSafeKey::new(UnboundKey::new(algorithm, key).ok()?);
        Some(Sealer { key, salt })
    }

    /// Encrypts what follows the header and appends the tag, 16 octets (RFC 7714, section 13.2). `index` is the sequence number with its roll-over
    /// counter, of which the header has the lower 16 bits.
    ///
    /// # Panics
    /// If the packet is shorter than its header.
    pub fn seal(&self, ssrc: u32, index: u64, header_bytes: usize, packet: &mut Vec<u8>) {
        let (header, payload) = packet.split_at_mut(header_bytes);
        let nonce = Nonce::assume_unique_for_key(self.nonce(ssrc, index));
        let tag = self
            .key
            .seal_in_place_separate_tag(nonce, Aad::from(&*header), payload)
            .expect("a datagram is shorter than what AES-GCM takes");
        packet.extend_from_slice(tag.as_ref());
    }

    /// RFC 7714, section 8.1: two octets of zero, SSRC, roll-over counter, sequence number; and the salt upon it.
    fn nonce(&self, ssrc: u32, index: u64) -> [u8; NONCE_LEN] {
        let mut nonce = self.salt;
        let index = index.to_be_bytes();
        let fields = ssrc.to_be_bytes().into_iter().chain(index[2..].iter().copied());
        for (octet, field) in nonce[2..].iter_mut().zip(fields) {
            *octet ^= field;
        }
        nonce
    }
}

/// The master key and salt of the direction that this end sends in (RFC 5764, section 4.2).
fn master(material: &[u8], key_bytes: usize, is_client: bool) -> Option<(&[u8], &[u8])> {
    if material.len() != 2 * (key_bytes + SALT_BYTES) {
        return None;
    }
    let (keys, salts) = material.split_at(2 * key_bytes);
    let (client_key, server_key) = keys.split_at(key_bytes);
    let (client_salt, server_salt) = salts.split_at(SALT_BYTES);
    Some(if is_client { (client_key, client_salt) } else { (server_key, server_salt) })
}

/// AES in counter mode as a pseudo-random function (RFC 3711, section 4.3.3; RFC 6188, section 3 for 256 bits), with a
/// key derivation rate of zero.
fn derive(provider: &dyn SrtpProvider, master_key: &[u8], master_salt: &[u8], label: u8, out: &mut [u8]) {
    const BLOCK_BYTES: usize = 16;
    let mut input = [0; BLOCK_BYTES];
    input[..master_salt.len()].copy_from_slice(master_salt);
    // The label stands left of a 48-bit index, in a number of 112 bits.
    input[7] ^= label;
    for (counter, part) in out.chunks_mut(BLOCK_BYTES).enumerate() {
        input[14..].copy_from_slice(&(counter as u16).to_be_bytes());
        // The provider may write a block of padding behind the one that counts.
        let mut block = [0; 2 * BLOCK_BYTES];
        match master_key.len() {
            32 => provider.srtp_aes_256_ecb_round(master_key, &input, &mut block),
            _ => provider.srtp_aes_128_ecb_round(master_key, &input, &mut block),
        }
        part.copy_from_slice(&block[..part.len()]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SharedCrypto;

    fn bytes(hex: &str) -> Vec<u8> {
        let hex: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
        let digit = |d: u8| char::from(d).to_digit(16).expect("hex") as u8;
        hex.chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
    }

    fn provider() -> &'static dyn SrtpProvider {
        SharedCrypto::generate().expect("a certificate can be made").provider.srtp_provider
    }

    #[test]
    fn keys_are_derived_as_in_rfc_3711_appendix_b_3() {
        let (key, salt) = (bytes("E1F97A0D3E018BE0D64FA32C06DE4139"), bytes("0EC675AD498AFEEBB6960B3AABE6"));
        let mut cipher_key = [0; 16];
        derive(provider(), &key, &salt, LABEL_RTP_ENCRYPTION, &mut cipher_key);
        assert_eq!(cipher_key[..], bytes("C61E7A93744F39EE10734AFE3FF7A087"));
        let mut cipher_salt = [0; 14];
        derive(provider(), &key, &salt, LABEL_RTP_SALT, &mut cipher_salt);
        assert_eq!(cipher_salt[..], bytes("30CBBC08863D8C85D49DB34A9AE1"));
    }

    #[test]
    fn keys_of_256_bits_are_derived_as_in_rfc_6188_section_7_4() {
        let key = bytes("f0f04914b513f2763a1b1fa130f10e2998f6f6e43e4309d1e622a0e332b9f1b6");
        let salt = bytes("3b04803de51ee7c96423ab5b78d2");
        let mut cipher_key = [0; 32];
        derive(provider(), &key, &salt, LABEL_RTP_ENCRYPTION, &mut cipher_key);
        let expected = bytes("5ba1064e30ec51613cad926c5a28ef731ec7fb397f70a960653caf06554cd8c4");
        assert_eq!(cipher_key[..], expected);
    }

    /// RFC 7714, section 16.1: the packet that its examples protect.
    fn packet() -> Vec<u8> {
        bytes(
            "8040f17b 8041f8d3 5501a0b2 47616c6c 69612065 7374206f 6d6e6973 20646976 69736120 \
             696e2070 61727465 73207472 6573",
        )
    }

    fn sealer(algorithm: &'static Algorithm, key: &str) -> Sealer {
        let key = LessSafeKey::new(UnboundKey::new(algorithm, &bytes(key)).expect("as long as it says"));
        Sealer { key, salt: bytes("517569642070726f2071756f").try_into().expect("96 bits") }
    }

    #[test]
    fn packets_are_sealed_as_in_rfc_7714_section_16_1_1() {
        let sealer = sealer(&AES_128_GCM, "000102030405060708090a0b0c0d0e0f");
        let mut packet = packet();
        sealer.seal(0x5501_a0b2, 0xf17b, 12, &mut packet);
        let expected = bytes(
            "8040f17b 8041f8d3 5501a0b2 f24de3a3 fb34de6c acba861c 9d7e4bca be633bd5 0d294e6f 42a5f47a \
             51c7d19b 36de3adf 8833899d 7f27beb1 6a9152cf 765ee439 0cce",
        );
        assert_eq!(packet, expected);
    }

    #[test]
    fn packets_are_sealed_as_in_rfc_7714_section_16_2_1() {
        let key = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
        let sealer = sealer(&AES_256_GCM, key);
        let mut packet = packet();
        sealer.seal(0x5501_a0b2, 0xf17b, 12, &mut packet);
        let expected = bytes(
            "8040f17b 8041f8d3 5501a0b2 32b1de78 a822fe12 ef9f78fa 332e33aa b1801238 9a58e2f3 b50b2a02 \
             76ffae0f 1ba63799 b87b7aa3 db36dfff d6b0f9bb 7878d7a7 6c13",
        );
        assert_eq!(packet, expected);
    }

    #[test]
    fn another_roll_over_is_another_nonce() {
        let sealer = sealer(&AES_128_GCM, "000102030405060708090a0b0c0d0e0f");
        let nonces: std::collections::BTreeSet<_> =
            [1, 2, 1 << 16 | 1, 1 << 32 | 1].map(|index| sealer.nonce(9, index)).into();
        assert_eq!(nonces.len(), 4);
    }

    #[test]
    fn only_aes_gcm_is_sealed_here() {
        let provider = SharedCrypto::generate().expect("a certificate can be made").provider;
        let seals = |profile, bytes| {
            let exported = Exported { profile, material: vec![1; bytes], is_client: false };
            Sealer::new(&provider, &exported).is_some()
        };
        assert!(seals(SrtpProfile::AEAD_AES_256_GCM, 88) && seals(SrtpProfile::AEAD_AES_128_GCM, 56));
        assert!(!seals(SrtpProfile::AES128_CM_SHA1_80, 60));
    }

    #[test]
    fn material_of_another_length_makes_no_key() {
        assert!(master(&[0; 55], 16, true).is_none());
        assert!(master(&[0; 56], 16, true).is_some());
        assert!(master(&[0; 57], 16, false).is_none());
    }
}
