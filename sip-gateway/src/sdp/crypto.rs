//! SRTP keys in session descriptions (SDES, RFC 4568): `a=crypto` lines in, suites and master keys out.

use std::fmt;

/// So many random bytes make the keys of a session of ours, whichever suite is chosen.
pub const SECRET_BYTES: usize = 46;

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

/// A master key and its salt. Shown nowhere.
#[derive(Clone, PartialEq, Eq)]
pub struct MasterKey {
    /// 16 or 32 bytes.
    pub key: Vec<u8>,
    /// 14 bytes.
    pub salt: Vec<u8>,
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
