//! Protects RTP and RTCP packets, with keys that a DTLS handshake exported.

use std::sync::Arc;

use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, Aad, Algorithm, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use str0m::config::CryptoProvider;
use str0m::crypto::dtls::SrtpProfile;
use str0m::crypto::{Aes128CmSha1_80, Aes128CmSha1_80Cipher, SrtpProvider};

use crate::Exported;

const BLOCK_BYTES: usize = 16;
const KEY_BYTES_MAX: usize = 32;
const SALT_BYTES_MAX: usize = Aes128CmSha1_80::SALT_LEN;
const AUTH_KEY_BYTES: usize = Aes128CmSha1_80::HMAC_KEY_LEN;

/// What stays in the clear of an RTCP packet: its first word and the SSRC (RFC 3711, section 3.4).
const RTCP_HEADER_BYTES: usize = 8;

/// RFC 3711, section 3.4: the bit before the index that says that a packet is encrypted.
const ENCRYPTED: u32 = 1 << 31;

/// Labels of the key derivation (RFC 3711, section 4.3.2): encryption, authentication, salt.
const RTP_LABELS: [u8; 3] = [0, 1, 2];
const RTCP_LABELS: [u8; 3] = [3, 4, 5];

/// One direction of an SRTP association: it seals what this end sends.
///
/// Two packets of an SSRC under one index would give the key away (RFC 7714, section 9.1), and str0m has the same
/// keys: what one of the two sends under an SSRC, the other doesn't.
pub struct Sealer {
    crypto: Arc<CryptoProvider>,
    rtp: Cipher,
    /// Reports are one packet in hundreds: a cipher that waits for the next would be most of what a sealer takes.
    rtcp: Keys,
}

/// The keys of a cipher, as derived.
struct Keys {
    algorithm: Option<&'static Algorithm>,
    key: [u8; KEY_BYTES_MAX],
    auth_key: [u8; AUTH_KEY_BYTES],
    salt: [u8; SALT_BYTES_MAX],
}

/// A cipher with its keys.
enum Cipher {
    /// AES-GCM (RFC 7714).
    Gcm { key: LessSafeKey, salt: [u8; NONCE_LEN] },
    /// AES in counter mode with HMAC-SHA1 (RFC 3711): what every client speaks.
    Counter {
        cipher: Box<dyn Aes128CmSha1_80Cipher>,
        auth_key: [u8; AUTH_KEY_BYTES],
        salt: [u8; SALT_BYTES_MAX],
    },
}

impl Sealer {
    /// `None` if the handshake settled on a cipher that isn't known here.
    pub fn new(crypto: &Arc<CryptoProvider>, exported: &Exported) -> Option<Sealer> {
        let (algorithm, key_bytes, salt_bytes) = match exported.profile {
            SrtpProfile::AEAD_AES_128_GCM => (Some(&AES_128_GCM), AES_128_GCM.key_len(), NONCE_LEN),
            SrtpProfile::AEAD_AES_256_GCM => (Some(&AES_256_GCM), AES_256_GCM.key_len(), NONCE_LEN),
            SrtpProfile::AES128_CM_SHA1_80 => (None, Aes128CmSha1_80::KEY_LEN, Aes128CmSha1_80::SALT_LEN),
            _ => return None,
        };
        let (key, salt) = master(&exported.material, key_bytes, salt_bytes, exported.is_client)?;
        let keys = |labels| Keys::derive(crypto.srtp_provider, algorithm, key, salt, labels);
        let rtp = keys(RTP_LABELS).cipher(crypto.srtp_provider);
        Some(Sealer { crypto: crypto.clone(), rtp, rtcp: keys(RTCP_LABELS) })
    }

    /// Encrypts what follows the header of an RTP packet and appends the tag (RFC 3711, section 3.1; RFC 7714, section
    /// 13.2). `index` is the sequence number with its roll-over counter, of which the header has the lower 16 bits.
    ///
    /// # Panics
    /// If the packet is shorter than its header.
    pub fn seal(&mut self, ssrc: u32, index: u64, header_bytes: usize, packet: &mut Vec<u8>) {
        match &mut self.rtp {
            Cipher::Gcm { key, salt } => {
                let (header, payload) = packet.split_at_mut(header_bytes);
                let tag = seal_gcm(key, nonce(salt, ssrc, index), header, payload);
                packet.extend_from_slice(&tag);
            }
            Cipher::Counter { cipher, auth_key, salt } => {
                encrypt_by_counter(&mut **cipher, *salt, ssrc, index, header_bytes, packet);
                let roll_over = (index >> 16) as u32;
                let tag =
                    self.crypto.sha1_hmac_provider.sha1_hmac(auth_key, &[packet, &roll_over.to_be_bytes()]);
                packet.extend_from_slice(&tag[..Aes128CmSha1_80::HMAC_TAG_LEN]);
            }
        }
    }

    /// Encrypts an RTCP packet but for its header, and appends index and tag (RFC 3711, section 3.4; RFC 7714, section
    /// 13.3). `index` has 31 bits, and goes up by one with each packet of the SSRC.
    ///
    /// # Panics
    /// If the packet is shorter than the header of RTCP.
    pub fn seal_rtcp(&self, ssrc: u32, index: u32, packet: &mut Vec<u8>) {
        let word = (ENCRYPTED | index).to_be_bytes();
        match self.rtcp.cipher(self.crypto.srtp_provider) {
            Cipher::Gcm { key, salt } => {
                let (header, payload) = packet.split_at_mut(RTCP_HEADER_BYTES);
                let mut aad = [0; RTCP_HEADER_BYTES + 4];
                aad[..RTCP_HEADER_BYTES].copy_from_slice(header);
                aad[RTCP_HEADER_BYTES..].copy_from_slice(&word);
                let tag = seal_gcm(&key, nonce(&salt, ssrc, index.into()), &aad, payload);
                packet.extend_from_slice(&tag);
                packet.extend_from_slice(&word);
            }
            Cipher::Counter { mut cipher, auth_key, salt } => {
                encrypt_by_counter(&mut *cipher, salt, ssrc, index.into(), RTCP_HEADER_BYTES, packet);
                packet.extend_from_slice(&word);
                let tag = self.crypto.sha1_hmac_provider.sha1_hmac(&auth_key, &[packet]);
                packet.extend_from_slice(&tag[..Aes128CmSha1_80::HMAC_TAG_LEN]);
            }
        }
    }
}

impl Keys {
    fn derive(
        provider: &dyn SrtpProvider,
        algorithm: Option<&'static Algorithm>,
        master_key: &[u8],
        master_salt: &[u8],
        [encryption, authentication, salting]: [u8; 3],
    ) -> Keys {
        let mut keys = Keys {
            algorithm,
            key: [0; KEY_BYTES_MAX],
            auth_key: [0; AUTH_KEY_BYTES],
            salt: [0; SALT_BYTES_MAX],
        };
        let key = &mut keys.key[..master_key.len()];
        derive(provider, master_key, master_salt, encryption, key);
        derive(provider, master_key, master_salt, authentication, &mut keys.auth_key);
        derive(provider, master_key, master_salt, salting, &mut keys.salt[..master_salt.len()]);
        keys
    }

    fn cipher(&self, provider: &dyn SrtpProvider) -> Cipher {
        match self.algorithm {
            Some(algorithm) => {
                let key = UnboundKey::new(algorithm, &self.key[..algorithm.key_len()]);
                let key = LessSafeKey::new(key.expect("the key was derived in the algorithm's length"));
                let (salt, _) = self.salt.split_first_chunk().expect("it is longer than a nonce");
                Cipher::Gcm { key, salt: *salt }
            }
            None => {
                let (key, _) = self.key.split_first_chunk().expect("it is longer than a key of 128 bits");
                let cipher = provider.aes_128_cm_sha1_80().create_cipher(*key, true);
                Cipher::Counter { cipher, auth_key: self.auth_key, salt: self.salt }
            }
        }
    }
}

/// Encrypts the payload, and returns the tag over it and over what is in the clear.
fn seal_gcm(
    key: &LessSafeKey,
    nonce: [u8; NONCE_LEN],
    clear: &[u8],
    payload: &mut [u8],
) -> [u8; BLOCK_BYTES] {
    let nonce = Nonce::assume_unique_for_key(nonce);
    let tag = key.seal_in_place_separate_tag(nonce, Aad::from(clear), payload);
    let tag = tag.expect("a datagram is shorter than what AES-GCM takes");
    tag.as_ref().try_into().expect("a tag is a block")
}

/// RFC 7714, sections 8.1 and 9.1: two octets of zero, SSRC, and the index in 48 bits; and the salt upon it.
fn nonce(salt: &[u8; NONCE_LEN], ssrc: u32, index: u64) -> [u8; NONCE_LEN] {
    let mut nonce = *salt;
    let index = index.to_be_bytes();
    let fields = ssrc.to_be_bytes().into_iter().chain(index[2..].iter().copied());
    for (octet, field) in nonce[2..].iter_mut().zip(fields) {
        *octet ^= field;
    }
    nonce
}

/// Encrypts what follows the header with AES in counter mode (RFC 3711, section 4.1.1).
fn encrypt_by_counter(
    cipher: &mut dyn Aes128CmSha1_80Cipher,
    salt: [u8; SALT_BYTES_MAX],
    ssrc: u32,
    index: u64,
    header_bytes: usize,
    packet: &mut Vec<u8>,
) {
    let iv = Aes128CmSha1_80::rtp_iv(salt, ssrc, index);
    let packet_bytes = packet.len();
    let payload = packet[header_bytes..].to_vec();
    // A provider may want room for another block.
    packet.resize(packet_bytes + BLOCK_BYTES, 0);
    cipher.encrypt(&iv, &payload, &mut packet[header_bytes..]).expect("there is room for what it encrypts");
    packet.truncate(packet_bytes);
}

/// The master key and salt of the direction that this end sends in (RFC 5764, section 4.2).
fn master(material: &[u8], key_bytes: usize, salt_bytes: usize, is_client: bool) -> Option<(&[u8], &[u8])> {
    if material.len() != 2 * (key_bytes + salt_bytes) {
        return None;
    }
    let (keys, salts) = material.split_at(2 * key_bytes);
    let (client_key, server_key) = keys.split_at(key_bytes);
    let (client_salt, server_salt) = salts.split_at(salt_bytes);
    Some(if is_client { (client_key, client_salt) } else { (server_key, server_salt) })
}

/// AES in counter mode as a pseudo-random function (RFC 3711, section 4.3.3; RFC 6188, section 3 for 256 bits), with a
/// key derivation rate of zero.
fn derive(provider: &dyn SrtpProvider, master_key: &[u8], master_salt: &[u8], label: u8, out: &mut [u8]) {
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

    fn crypto() -> Arc<CryptoProvider> {
        SharedCrypto::generate().expect("a certificate can be made").provider
    }

    #[test]
    fn keys_are_derived_as_in_rfc_3711_appendix_b_3() {
        let (key, salt) = (bytes("E1F97A0D3E018BE0D64FA32C06DE4139"), bytes("0EC675AD498AFEEBB6960B3AABE6"));
        let keys = Keys::derive(crypto().srtp_provider, None, &key, &salt, RTP_LABELS);
        assert_eq!(keys.key[..16], bytes("C61E7A93744F39EE10734AFE3FF7A087"));
        assert_eq!(keys.salt[..], bytes("30CBBC08863D8C85D49DB34A9AE1"));
        assert_eq!(keys.auth_key[..], bytes("CEBE321F6FF7716B6FD4AB49AF256A156D38BAA4"));
    }

    #[test]
    fn keys_of_256_bits_are_derived_as_in_rfc_6188_section_7_4() {
        let key = bytes("f0f04914b513f2763a1b1fa130f10e2998f6f6e43e4309d1e622a0e332b9f1b6");
        let salt = bytes("3b04803de51ee7c96423ab5b78d2");
        let mut cipher_key = [0; 32];
        derive(crypto().srtp_provider, &key, &salt, RTP_LABELS[0], &mut cipher_key);
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

    /// The same keys for both.
    fn sealer(algorithm: Option<&'static Algorithm>, key: &str, auth_key: &str, salt: &str) -> Sealer {
        let crypto = crypto();
        let keys = || {
            let mut keys = Keys { algorithm, key: [0; 32], auth_key: [0; 20], salt: [0; 14] };
            for (to, from) in [
                (&mut keys.key[..], bytes(key)),
                (&mut keys.auth_key[..], bytes(auth_key)),
                (&mut keys.salt[..], bytes(salt)),
            ] {
                to[..from.len()].copy_from_slice(&from);
            }
            keys
        };
        Sealer { rtp: keys().cipher(crypto.srtp_provider), rtcp: keys(), crypto }
    }

    fn gcm_sealer(algorithm: &'static Algorithm, key: &str) -> Sealer {
        sealer(Some(algorithm), key, "", "517569642070726f2071756f")
    }

    const KEY_128: &str = "000102030405060708090a0b0c0d0e0f";
    const KEY_256: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

    #[test]
    fn packets_are_sealed_as_in_rfc_7714_section_16_1_1() {
        let mut packet = packet();
        gcm_sealer(&AES_128_GCM, KEY_128).seal(0x5501_a0b2, 0xf17b, 12, &mut packet);
        let expected = bytes(
            "8040f17b 8041f8d3 5501a0b2 f24de3a3 fb34de6c acba861c 9d7e4bca be633bd5 0d294e6f 42a5f47a \
             51c7d19b 36de3adf 8833899d 7f27beb1 6a9152cf 765ee439 0cce",
        );
        assert_eq!(packet, expected);
    }

    #[test]
    fn packets_are_sealed_as_in_rfc_7714_section_16_2_1() {
        let mut packet = packet();
        gcm_sealer(&AES_256_GCM, KEY_256).seal(0x5501_a0b2, 0xf17b, 12, &mut packet);
        let expected = bytes(
            "8040f17b 8041f8d3 5501a0b2 32b1de78 a822fe12 ef9f78fa 332e33aa b1801238 9a58e2f3 b50b2a02 \
             76ffae0f 1ba63799 b87b7aa3 db36dfff d6b0f9bb 7878d7a7 6c13",
        );
        assert_eq!(packet, expected);
    }

    #[test]
    fn reports_are_sealed_as_in_rfc_7714_section_17_1() {
        let mut report = bytes(
            "81c8000d 4d617273 4e545031 4e545032 52545020 0000042a 0000e930 4c756e61 deadbeef deadbeef \
             deadbeef deadbeef deadbeef",
        );
        gcm_sealer(&AES_128_GCM, KEY_128).seal_rtcp(0x4d61_7273, 0x5d4, &mut report);
        let expected = bytes(
            "81c8000d 4d617273 63e94885 dcdab67c a727d766 2f6b7e99 7ff5c0f7 6c06f32d c676a5f1 730d6fda \
             4ce09b46 86303ded 0bb9275b c84aa458 96cf4d2f c5abf872 45d9eade 800005d4",
        );
        assert_eq!(report, expected);
    }

    /// Test vector of libsrtp for `SRTP_AES128_CM_HMAC_SHA1_80` (test/srtp_driver.c), under the keys of RFC 3711, appendix B.3.
    fn counter_sealer() -> Sealer {
        let material = [
            bytes("E1F97A0D3E018BE0D64FA32C06DE4139"),
            vec![0; 16],
            bytes("0EC675AD498AFEEBB6960B3AABE6"),
            vec![0; 14],
        ];
        let profile = SrtpProfile::AES128_CM_SHA1_80;
        let exported = Exported { profile, material: material.concat(), is_client: true };
        Sealer::new(&crypto(), &exported).expect("the cipher is known")
    }

    #[test]
    fn packets_are_sealed_in_counter_mode_as_libsrtp_does() {
        let mut packet = [bytes("800f1234 decafbad cafebabe"), vec![0xAB; 16]].concat();
        counter_sealer().seal(0xcafe_babe, 0x1234, 12, &mut packet);
        let expected =
            bytes("800f1234 decafbad cafebabe 4e55dc4c e79978d8 8ca4d215 949d2402 b78d6acc 99ea179b 8dbb");
        assert_eq!(packet, expected);
    }

    #[test]
    fn reports_are_sealed_in_counter_mode_as_libsrtp_does() {
        let mut report = [bytes("81c8000b cafebabe"), vec![0xAB; 16]].concat();
        counter_sealer().seal_rtcp(0xcafe_babe, 1, &mut report);
        let expected =
            bytes("81c8000b cafebabe 7128035b e487b9bd bef89041 f977a5a8 80000001 993e08cd 54d6c123 0798");
        assert_eq!(report, expected);
    }

    #[test]
    fn another_roll_over_is_another_nonce() {
        let nonces: std::collections::BTreeSet<_> =
            [1, 2, 1 << 16 | 1, 1 << 32 | 1].map(|index| nonce(&[7; NONCE_LEN], 9, index)).into();
        assert_eq!(nonces.len(), 4);
    }

    #[test]
    fn every_cipher_that_str0m_negotiates_is_known() {
        let seals = |profile, bytes| {
            let exported = Exported { profile, material: vec![1; bytes], is_client: false };
            Sealer::new(&crypto(), &exported).is_some()
        };
        assert!(seals(SrtpProfile::AEAD_AES_256_GCM, 88) && seals(SrtpProfile::AEAD_AES_128_GCM, 56));
        assert!(seals(SrtpProfile::AES128_CM_SHA1_80, 60));
    }

    #[test]
    fn material_of_another_length_makes_no_key() {
        assert!(master(&[0; 55], 16, 12, true).is_none());
        assert!(master(&[0; 56], 16, 12, true).is_some());
        assert!(master(&[0; 57], 16, 12, false).is_none());
        assert!(master(&[0; 60], 16, 14, false).is_some());
    }
}
