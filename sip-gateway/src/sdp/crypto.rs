//! SRTP keys in session descriptions (SDES, RFC 4568): `a=crypto` lines in, suites and master keys out.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};

/// The random bytes that a session of ours is made of: 46 for its keys, whichever suite is chosen, and 4 for its number.
pub const SECRET_BYTES: usize = 50;

/// The longest key and salt.
const KEY_AND_SALT_BYTES_MAX: usize = 46;

/// Of every suite.
const SALT_BYTES: usize = 14;

/// A crypto suite that both RFC 4568 (section 6.2) or RFC 6188 (section 4) and `rtc-srtp` know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Suite {
    /// `AES_256_CM_HMAC_SHA1_80` (RFC 6188).
    Aes256CmSha1_80,
    /// `AES_CM_128_HMAC_SHA1_80`, which every implementation has.
    Aes128CmSha1_80,
    /// `AES_CM_128_HMAC_SHA1_32`: a shorter tag on RTP, the long one on RTCP.
    Aes128CmSha1_32,
}

impl Suite {
    /// All, as our offers list them. What every implementation has comes first: some take the first line or none.
    pub(super) const ALL: [Suite; 3] =
        [Suite::Aes128CmSha1_80, Suite::Aes256CmSha1_80, Suite::Aes128CmSha1_32];

    /// Its name in `a=crypto`.
    pub fn name(self) -> &'static str {
        match self {
            Suite::Aes256CmSha1_80 => "AES_256_CM_HMAC_SHA1_80",
            Suite::Aes128CmSha1_80 => "AES_CM_128_HMAC_SHA1_80",
            Suite::Aes128CmSha1_32 => "AES_CM_128_HMAC_SHA1_32",
        }
    }

    /// How long its master key is.
    pub fn key_bytes(self) -> usize {
        match self {
            Suite::Aes256CmSha1_80 => 32,
            Suite::Aes128CmSha1_80 | Suite::Aes128CmSha1_32 => 16,
        }
    }
}

/// A master key and its salt. Shown nowhere.
#[derive(Clone, PartialEq, Eq)]
pub struct MasterKey {
    /// 16 or 32 bytes.
    pub key: Vec<u8>,
    /// 14 bytes.
    pub salt: Vec<u8>,
}

impl MasterKey {
    /// The key that a session's secret holds for a suite.
    pub(super) fn of(suite: Suite, secret: &[u8; SECRET_BYTES]) -> MasterKey {
        let (salt, key) = secret[..KEY_AND_SALT_BYTES_MAX].split_at(SALT_BYTES);
        MasterKey { key: key[..suite.key_bytes()].to_vec(), salt: salt.to_vec() }
    }

    fn parse(base64: &str, suite: Suite) -> Option<MasterKey> {
        // Some phones leave the padding out.
        let bytes = STANDARD.decode(base64).or_else(|_| STANDARD_NO_PAD.decode(base64)).ok()?;
        let (key, salt) = bytes.split_at_checked(suite.key_bytes())?;
        (salt.len() == SALT_BYTES).then(|| MasterKey { key: key.to_vec(), salt: salt.to_vec() })
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MasterKey({} + {} bytes)", self.key.len(), self.salt.len())
    }
}

/// How RTP is sealed, each way with its own key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crypto {
    /// Cipher and authentication, of both ways.
    pub suite: Suite,
    /// What we send is sealed with it.
    pub local: MasterKey,
    /// What we receive was sealed with it.
    pub remote: MasterKey,
}

/// One `a=crypto` line that we could use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CryptoLine {
    pub(super) tag: u32,
    pub(super) suite: Suite,
    pub(super) key: MasterKey,
}

impl CryptoLine {
    /// Reads `TAG SUITE inline:KEY[|LIFETIME][|MKI:LENGTH] [PARAMETERS]` (RFC 4568, section 9.2). `None` stands for what
    /// we can't do, which is no error: another line may do. That is another suite, a master key identifier, and session
    /// parameters that switch protection off, "MUST be understood" or change the keys (section 6.3). The lifetime isn't
    /// looked at: no call lives for 2^31 packets.
    pub(super) fn parse(value: &str) -> Option<CryptoLine> {
        let mut words = value.split_ascii_whitespace();
        let tag = words.next()?.parse().ok()?;
        let name = words.next()?;
        let suite = Suite::ALL.into_iter().find(|suite| suite.name().eq_ignore_ascii_case(name))?;
        let mut inline = words.next()?.strip_prefix("inline:")?.split('|');
        let key = MasterKey::parse(inline.next()?, suite)?;
        if inline.any(|part| part.contains(':')) || words.any(|parameter| !parameter.starts_with("WSH=")) {
            return None;
        }
        Some(CryptoLine { tag, suite, key })
    }
}

impl fmt::Display for CryptoLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inline = STANDARD.encode([&self.key.key[..], &self.key.salt].concat());
        write!(f, "a=crypto:{} {} inline:{inline}", self.tag, self.suite.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4568, section 4.1: 16 bytes of key and 14 of salt.
    const KEY: &str = "d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj";

    #[test]
    fn line_of_the_rfc_is_read() {
        let line = CryptoLine::parse(&format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|2^20 WSH=64")).unwrap();
        assert_eq!((line.tag, line.suite), (1, Suite::Aes128CmSha1_80));
        assert_eq!(line.key.key, b"wDfvg&T+)xG7@fb5");
        assert_eq!(line.key.salt, b"jU,RaA}\\|p0%*#");
        assert_eq!(line.to_string(), format!("a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}"));
    }

    #[test]
    fn lifetime_of_any_size_is_no_matter() {
        for lifetime in ["2^48", "2^4294967295", "99999999999999999999", "2^"] {
            let line = format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|{lifetime}");
            assert!(CryptoLine::parse(&line).is_some(), "{lifetime}");
        }
    }

    #[test]
    fn what_we_cannot_do_is_passed_over() {
        for line in [
            format!("1 F8_128_HMAC_SHA1_80 inline:{KEY}"),
            format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|2^20|1:4"),
            format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|1:4"),
            format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY} UNENCRYPTED_SRTP"),
            format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY} KDR=1"),
            format!("1 AES_256_CM_HMAC_SHA1_80 inline:{KEY}"),
            "1 AES_CM_128_HMAC_SHA1_80 inline:????".to_owned(),
            "1 AES_CM_128_HMAC_SHA1_80".to_owned(),
            "x AES_CM_128_HMAC_SHA1_80 inline:".to_owned(),
            String::new(),
        ] {
            assert_eq!(CryptoLine::parse(&line), None, "{line}");
        }
    }

    #[test]
    fn keys_are_not_shown() {
        let line = CryptoLine::parse(&format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}")).unwrap();
        assert!(format!("{line:?}").contains("MasterKey(16 + 14 bytes)"));
    }
}
