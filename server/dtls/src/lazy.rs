//! SRTP ciphers that are made when they are needed: keys in, str0m's AES-GCM ciphers out, each at its first packet.
//!
//! For each of the two directions str0m makes four ciphers: to encrypt and to decrypt, RTP and RTCP. Half of them
//! can never be used, and who only listens hardly uses the rest: what they hear is sealed by a
//! [`Sealer`](crate::Sealer), and the RTCP they send is dropped unread. A cipher of AES-GCM brings tables of 592
//! octets, its key has 16 or 32.

use std::fmt;

use str0m::crypto::{
    AeadAes128GcmCipher, AeadAes256GcmCipher, CryptoError, SrtpProvider, SupportedAeadAes128Gcm,
    SupportedAeadAes256Gcm, SupportedAes128CmSha1_80,
};

/// aws-lc-rs, which everything here stands before.
fn eager() -> &'static dyn SrtpProvider {
    str0m_aws_lc_rs::default_provider().srtp_provider
}

/// An SRTP provider whose AES-GCM ciphers are made at their first use. One of AES in counter mode is no more than
/// its key as it is.
#[derive(Debug)]
pub(crate) struct LazyCiphers;

impl SrtpProvider for LazyCiphers {
    fn aes_128_cm_sha1_80(&self) -> &'static dyn SupportedAes128CmSha1_80 {
        eager().aes_128_cm_sha1_80()
    }

    fn aead_aes_128_gcm(&self) -> &'static dyn SupportedAeadAes128Gcm {
        &LazyCiphers
    }

    fn aead_aes_256_gcm(&self) -> &'static dyn SupportedAeadAes256Gcm {
        &LazyCiphers
    }

    fn srtp_aes_128_ecb_round(&self, key: &[u8], input: &[u8], output: &mut [u8]) {
        eager().srtp_aes_128_ecb_round(key, input, output);
    }

    fn srtp_aes_256_ecb_round(&self, key: &[u8], input: &[u8], output: &mut [u8]) {
        eager().srtp_aes_256_ecb_round(key, input, output);
    }
}

/// What a cipher is made of, or the cipher.
enum Lazy<const KEY_BYTES: usize, Cipher: ?Sized> {
    Key { key: [u8; KEY_BYTES], encrypt: bool },
    Made(Box<Cipher>),
}

impl<const KEY_BYTES: usize, Cipher: ?Sized> Lazy<KEY_BYTES, Cipher> {
    fn made(&mut self, make: impl FnOnce([u8; KEY_BYTES], bool) -> Box<Cipher>) -> &mut Cipher {
        if let Lazy::Key { key, encrypt } = *self {
            *self = Lazy::Made(make(key, encrypt));
        }
        match self {
            Lazy::Made(cipher) => cipher,
            Lazy::Key { .. } => unreachable!("it was made above"),
        }
    }
}

impl<const KEY_BYTES: usize, Cipher: ?Sized> fmt::Debug for Lazy<KEY_BYTES, Cipher> {
    /// Keys don't belong into a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Lazy::Key { .. } => "Lazy::Key",
            Lazy::Made(_) => "Lazy::Made",
        })
    }
}

/// The two lengths of key differ in their names only.
macro_rules! lazy_cipher {
    ($supported:ident, $cipher:ident, $eager:ident, $key_bytes:literal) => {
        impl $supported for LazyCiphers {
            fn create_cipher(&self, key: [u8; $key_bytes], encrypt: bool) -> Box<dyn $cipher> {
                Box::new(Lazy::Key { key, encrypt })
            }
        }

        impl $cipher for Lazy<$key_bytes, dyn $cipher> {
            fn encrypt(
                &mut self,
                iv: &[u8; 12],
                aad: &[u8],
                input: &[u8],
                output: &mut [u8],
            ) -> Result<(), CryptoError> {
                let cipher = self.made(|key, encrypt| eager().$eager().create_cipher(key, encrypt));
                cipher.encrypt(iv, aad, input, output)
            }

            fn decrypt(
                &mut self,
                iv: &[u8; 12],
                aads: &[&[u8]],
                input: &[u8],
                output: &mut [u8],
            ) -> Result<usize, CryptoError> {
                let cipher = self.made(|key, encrypt| eager().$eager().create_cipher(key, encrypt));
                cipher.decrypt(iv, aads, input, output)
            }
        }
    };
}

lazy_cipher!(SupportedAeadAes128Gcm, AeadAes128GcmCipher, aead_aes_128_gcm, 16);
lazy_cipher!(SupportedAeadAes256Gcm, AeadAes256GcmCipher, aead_aes_256_gcm, 32);

#[cfg(test)]
mod tests {
    use super::*;

    const IV: [u8; 12] = [3; 12];
    const HEADER: [u8; 12] = [0x80; 12];
    const PAYLOAD: &[u8] = b"twenty milliseconds of speech";
    const SEALED_BYTES: usize = PAYLOAD.len() + 16;

    #[test]
    fn what_it_seals_the_eager_cipher_opens_and_the_other_way_round() {
        macro_rules! both_ways {
            ($cipher:ident, $key:expr) => {{
                let ciphers = [eager(), &LazyCiphers].map(SrtpProvider::$cipher);
                for [from, to] in [[0, 1], [1, 0]] {
                    let mut sealed = [0; SEALED_BYTES];
                    let mut cipher = ciphers[from].create_cipher($key, true);
                    cipher.encrypt(&IV, &HEADER, PAYLOAD, &mut sealed).expect("seals");
                    let mut opened = [0; SEALED_BYTES];
                    let mut cipher = ciphers[to].create_cipher($key, false);
                    let opened_bytes = cipher.decrypt(&IV, &[&HEADER], &sealed, &mut opened).expect("opens");
                    assert_eq!(&opened[..opened_bytes], PAYLOAD);
                    sealed[0] ^= 1;
                    assert!(cipher.decrypt(&IV, &[&HEADER], &sealed, &mut opened).is_err());
                }
            }};
        }
        both_ways!(aead_aes_128_gcm, [7; 16]);
        both_ways!(aead_aes_256_gcm, [7; 32]);
    }

    #[test]
    fn a_cipher_is_made_at_its_first_use_and_once() {
        let mut cipher: Lazy<16, dyn AeadAes128GcmCipher> = Lazy::Key { key: [7; 16], encrypt: true };
        let mut made = 0;
        for uses in 0..3 {
            assert_eq!(made, u32::from(uses > 0));
            cipher.made(|key, encrypt| {
                made += 1;
                eager().aead_aes_128_gcm().create_cipher(key, encrypt)
            });
        }
        assert!(matches!(cipher, Lazy::Made(_)));
    }

    #[test]
    fn a_new_cipher_is_no_more_than_its_key() {
        let ciphers = &LazyCiphers;
        assert_eq!(format!("{:?}", ciphers.aead_aes_128_gcm().create_cipher([7; 16], true)), "Lazy::Key");
        assert_eq!(format!("{:?}", ciphers.aead_aes_256_gcm().create_cipher([7; 32], true)), "Lazy::Key");
        assert!(size_of::<Lazy<32, dyn AeadAes256GcmCipher>>() <= 40);
    }
}
