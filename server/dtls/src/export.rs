//! The keys that a DTLS handshake makes for SRTP (RFC 5764, section 4.2), on their way past str0m.
//!
//! str0m takes its DTLS from a provider that all peers share, and keeps the keys to itself. Who drives a peer knows
//! which one it is: what is exported while they call into it is that peer's.

use std::cell::RefCell;
use std::fmt;

use str0m::crypto::dtls::SrtpProfile;

/// What a handshake exported.
pub struct Exported {
    pub(crate) profile: SrtpProfile,
    /// Client key, server key, client salt, server salt.
    pub(crate) material: Vec<u8>,
    /// Whether this end began the handshake.
    pub(crate) is_client: bool,
}

impl fmt::Debug for Exported {
    /// Keys don't belong into a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exported").field("profile", &self.profile).finish_non_exhaustive()
    }
}

thread_local! {
    /// `None` while nobody asks: keys are not left lying about.
    static ASKED: RefCell<Option<Option<Exported>>> = const { RefCell::new(None) };
}

/// Calls into one peer, and returns beside its result what a handshake of that peer exported meanwhile.
pub fn exporting<T>(call: impl FnOnce() -> T) -> (T, Option<Exported>) {
    /// Clears what was asked for, also when the call panics.
    struct Asking;
    impl Drop for Asking {
        fn drop(&mut self) {
            ASKED.take();
        }
    }
    let _asking = Asking;
    ASKED.set(Some(None));
    let result = call();
    (result, ASKED.take().flatten())
}

/// A handshake has exported keys.
pub(crate) fn tell(exported: impl FnOnce() -> Exported) {
    ASKED.with_borrow_mut(|asked| {
        if let Some(latest) = asked {
            *latest = Some(exported());
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exported(is_client: bool) -> Exported {
        Exported { profile: SrtpProfile::AEAD_AES_256_GCM, material: vec![7; 88], is_client }
    }

    #[test]
    fn what_nobody_asked_for_is_not_kept() {
        tell(|| exported(true));
        assert!(exporting(|| ()).1.is_none());
    }

    #[test]
    fn the_caller_gets_the_keys_of_the_peer_that_they_called() {
        let (result, keys) = exporting(|| {
            tell(|| exported(false));
            42
        });
        assert_eq!(result, 42);
        assert!(keys.is_some_and(|keys| !keys.is_client));
        assert!(exporting(|| ()).1.is_none());
    }

    #[test]
    fn keys_are_gone_after_a_panic() {
        let panicked = std::panic::catch_unwind(|| {
            exporting(|| {
                tell(|| exported(false));
                panic!("a peer panics")
            })
        });
        assert!(panicked.is_err());
        assert!(ASKED.with_borrow(Option::is_none));
    }

    #[test]
    fn keys_stay_out_of_logs() {
        assert!(!format!("{:?}", exported(true)).contains('7'));
    }
}
