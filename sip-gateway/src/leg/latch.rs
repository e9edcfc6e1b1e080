//! Where a phone's media come from, and so where ours go: the source of a datagram in, whether it is the phone's out.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Of a source that was silent for so long another may take the place: a phone that changed networks.
const SILENT_AFTER: Duration = Duration::from_secs(2);

/// Symmetric RTP (RFC 4961), behind NAT: what a phone says of its address is not where its packets come from, so we send
/// to where they do come from ("latching", RFC 7362, section 4). The first source keeps the place as long as it sends: who
/// guesses our port can't take a call over, nor be heard in it.
#[derive(Debug)]
pub(super) struct Latch {
    said: Option<SocketAddr>,
    seen: Option<(SocketAddr, Instant)>,
}

impl Latch {
    /// For a phone that says it is there; `None` for one that wants nothing.
    pub(super) fn new(said: Option<SocketAddr>) -> Latch {
        Latch { said, seen: None }
    }

    /// Another offer or answer says where the phone is: its packets may come from another address from now on.
    pub(super) fn say(&mut self, said: Option<SocketAddr>) {
        if std::mem::replace(&mut self.said, said) != said {
            self.seen = None;
        }
    }

    /// Whether something that came from there is the phone's.
    pub(super) fn accepts(&self, now: Instant, from: SocketAddr) -> bool {
        match self.seen {
            None => true,
            Some((seen, at)) => {
                seen == from || (Some(from) == self.said || now.saturating_duration_since(at) >= SILENT_AFTER)
            }
        }
    }

    /// It was the phone's, and proven so where it is encrypted.
    pub(super) fn take(&mut self, now: Instant, from: SocketAddr) {
        self.seen = Some((from, now));
    }

    /// Where to send: to where it sends from; before it has sent anything, to where it says that it is.
    pub(super) fn remote(&self) -> Option<SocketAddr> {
        self.said.map(|said| self.seen.map_or(said, |(seen, _)| seen))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(host: u8, port: u16) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, host], port))
    }

    #[test]
    fn media_go_to_where_they_come_from() {
        let mut latch = Latch::new(Some(at(1, 4000)));
        assert_eq!(latch.remote(), Some(at(1, 4000)));
        let now = Instant::now();
        assert!(latch.accepts(now, at(9, 31_000)), "behind NAT it comes from elsewhere");
        latch.take(now, at(9, 31_000));
        assert_eq!(latch.remote(), Some(at(9, 31_000)));
    }

    #[test]
    fn a_stranger_takes_the_place_only_of_one_who_is_silent() {
        let mut latch = Latch::new(Some(at(1, 4000)));
        let now = Instant::now();
        latch.take(now, at(9, 31_000));
        let soon = now + SILENT_AFTER - Duration::from_millis(1);
        assert!(!latch.accepts(soon, at(66, 1)));
        assert!(latch.accepts(soon, at(1, 4000)), "where it said that it is");
        assert!(latch.accepts(soon + Duration::from_millis(1), at(66, 1)));
    }

    #[test]
    fn a_new_address_in_an_offer_is_gone_to_at_once() {
        let mut latch = Latch::new(Some(at(1, 4000)));
        latch.take(Instant::now(), at(1, 4000));
        latch.say(Some(at(1, 4000)));
        assert_eq!(latch.remote(), Some(at(1, 4000)));
        latch.say(Some(at(2, 4000)));
        assert_eq!(latch.remote(), Some(at(2, 4000)));
        latch.say(None);
        assert_eq!(latch.remote(), None);
    }
}
