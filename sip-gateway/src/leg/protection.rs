//! SRTP (RFC 3711) with the keys of the session description: sealed datagrams in and out.

use bytes::BytesMut;
use rtc_srtp::context::Context;
use rtc_srtp::option::{srtcp_replay_protection, srtp_replay_protection};
use rtc_srtp::protection_profile::ProtectionProfile;

use crate::sdp::{Crypto, MasterKey, Suite};

/// RFC 3711, section 3.3.2, wants at least 64; twice that survives what reorders more.
const REPLAY_WINDOW_PACKETS: usize = 128;

/// Both ways of a call. What can't be opened is none of the phone's.
pub(super) struct Protection {
    crypto: Crypto,
    local: Context,
    remote: Context,
    /// Whose packets `remote` has opened: of any other SSRC it would keep a state, whatever came of the packet, so strangers
    /// are tried with a context of their own.
    proven: Vec<u32>,
}

/// A phone has one stream, and another after a transfer or two; beyond that we forget the oldest.
const PROVEN_MAX: usize = 4;

impl Protection {
    /// `None` where the keys don't fit their suite.
    pub(super) fn new(crypto: &Crypto) -> Option<Protection> {
        let (local, remote) = (context(crypto.suite, &crypto.local)?, context(crypto.suite, &crypto.remote)?);
        Some(Protection { crypto: crypto.clone(), local, remote, proven: Vec::new() })
    }

    /// Other keys were agreed on, or the same. Whichever way keeps its key keeps its count of roll-overs too: to begin that anew
    /// with the same key would be to use its stream twice (RFC 3711, section 9.1). `false` where the keys don't fit their
    /// suite; then nothing has changed.
    pub(super) fn renew(&mut self, crypto: &Crypto) -> bool {
        let Some(fresh) = Protection::new(crypto) else {
            return false;
        };
        let is_same_suite = crypto.suite == self.crypto.suite;
        let has_same_local = is_same_suite && crypto.local == self.crypto.local;
        let has_same_remote = is_same_suite && crypto.remote == self.crypto.remote;
        let former = std::mem::replace(self, fresh);
        if has_same_local {
            self.local = former.local;
        }
        if has_same_remote {
            (self.remote, self.proven) = (former.remote, former.proven);
        }
        true
    }

    pub(super) fn seal_rtp(&mut self, packet: &[u8]) -> Option<BytesMut> {
        self.local.encrypt_rtp(packet).ok()
    }

    pub(super) fn seal_rtcp(&mut self, packet: &[u8]) -> Option<BytesMut> {
        self.local.encrypt_rtcp(packet).ok()
    }

    pub(super) fn open_rtp(&mut self, packet: &[u8], ssrc: u32) -> Option<BytesMut> {
        self.open(ssrc, |context| context.decrypt_rtp(packet).ok())
    }

    pub(super) fn open_rtcp(&mut self, packet: &[u8]) -> Option<BytesMut> {
        // RFC 3711, section 3.4: the first eight bytes are in the clear, the SSRC among them.
        let ssrc = packet.get(4..8).and_then(|bytes| Some(u32::from_be_bytes(bytes.try_into().ok()?)))?;
        self.open(ssrc, |context| context.decrypt_rtcp(packet).ok())
    }

    fn open(&mut self, ssrc: u32, open: impl Fn(&mut Context) -> Option<BytesMut>) -> Option<BytesMut> {
        if !self.proven.contains(&ssrc) {
            open(&mut context(self.crypto.suite, &self.crypto.remote)?)?;
            if self.proven.len() == PROVEN_MAX {
                self.proven.clear();
                self.remote = context(self.crypto.suite, &self.crypto.remote)?;
            }
            self.proven.push(ssrc);
        }
        open(&mut self.remote)
    }
}

fn context(suite: Suite, key: &MasterKey) -> Option<Context> {
    let profile = match suite {
        Suite::Aes256CmSha1_80 => ProtectionProfile::Aes256CmHmacSha1_80,
        Suite::Aes128CmSha1_80 => ProtectionProfile::Aes128CmHmacSha1_80,
        Suite::Aes128CmSha1_32 => ProtectionProfile::Aes128CmHmacSha1_32,
    };
    let (rtp, rtcp) =
        (srtp_replay_protection(REPLAY_WINDOW_PACKETS), srtcp_replay_protection(REPLAY_WINDOW_PACKETS));
    let provider = rtc_srtp::crypto::default_provider().ok()?;
    Context::new(&key.key, &key.salt, profile, Some(rtp), Some(rtcp), provider.crypto()).ok()
}
