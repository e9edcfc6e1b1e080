//! Where a phone's media come from, and so where ours go: the source of a datagram in, whether it is the phone's out.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use super::Caller;

/// Of a source that was silent for so long another may take the place: a phone whose NAT has chosen another port.
const SILENT_AFTER: Duration = Duration::from_secs(2);

/// Somebody who may be anybody is sent to no longer than this after they sent, if nothing else says that it is the phone: one
/// forged packet is not to bring a minute of sound to whoever it names.
const DOUBTED_AFTER: Duration = Duration::from_secs(5);

/// Symmetric RTP (RFC 4961), behind NAT: what a phone says of its address is not where its packets come from, so we send
/// to where they do come from ("latching", RFC 7362, section 4). Who guesses our port is kept out as far as can be told
/// ("RTP bleed"): whoever sends from where the call itself comes from takes the place of who doesn't, and nobody takes theirs.
#[derive(Debug)]
pub(super) struct Latch {
    said: Option<SocketAddr>,
    caller: Caller,
    seen: Option<(SocketAddr, Instant)>,
}

/// How likely a source is the phone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Likeness {
    /// It may be the phone, behind NAT, and its signalling came by way of a proxy.
    Stranger,
    /// It has the address of the signalling, or the one that the phone named; another port.
    Neighbour,
    /// It is where the phone said.
    Said,
}

impl Latch {
    /// For a phone that says it is there; `None` for one that named nothing that could be sent to.
    pub(super) fn new(said: Option<SocketAddr>, caller: Caller) -> Latch {
        Latch { said: caller.reachable(said), caller, seen: None }
    }

    /// Another offer or answer says where the phone is: its packets may come from another address from now on.
    pub(super) fn say(&mut self, said: Option<SocketAddr>) {
        let said = self.caller.reachable(said);
        if std::mem::replace(&mut self.said, said) != said {
            self.seen = None;
        }
    }

    /// Whether something that came from there is the phone's.
    pub(super) fn accepts(&self, now: Instant, from: SocketAddr) -> bool {
        let Some((seen, at)) = self.seen else {
            return true;
        };
        let (new, old) = (self.likeness(from), self.likeness(seen));
        let is_silent = now.saturating_duration_since(at) >= SILENT_AFTER;
        seen == from || new > old || new == Likeness::Said || (is_silent && new == old)
    }

    /// It was the phone's, and proven so where it is encrypted.
    pub(super) fn take(&mut self, now: Instant, from: SocketAddr) {
        self.seen = Some((from, now));
    }

    /// Where to send: to where it sends from; before it has sent anything, to where it says that it is.
    pub(super) fn remote(&self, now: Instant) -> Option<SocketAddr> {
        let Some((seen, at)) = self.seen else {
            return self.said;
        };
        let is_doubted = !self.caller.is_known
            && self.likeness(seen) == Likeness::Stranger
            && now.saturating_duration_since(at) > DOUBTED_AFTER;
        Some(seen).filter(|_| !is_doubted)
    }

    /// Whether that is more than what a stranger has said: it has sent from there, or called from there, or we know who it is.
    pub(super) fn is_proven(&self) -> bool {
        self.caller.is_known
            || self.seen.is_some()
            || self.said.is_some_and(|said| Some(said.ip()) == self.caller.address)
    }

    fn likeness(&self, from: SocketAddr) -> Likeness {
        let said: Option<IpAddr> = self.said.map(|said| said.ip());
        if self.said == Some(from) {
            Likeness::Said
        } else if said == Some(from.ip()) || self.caller.address == Some(from.ip()) {
            Likeness::Neighbour
        } else {
            Likeness::Stranger
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(host: u8, port: u16) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, host], port))
    }

    fn stranger(host: u8) -> Caller {
        Caller { address: Some(at(host, 0).ip()), is_known: false }
    }

    #[test]
    fn media_go_to_where_they_come_from() {
        let mut latch = Latch::new(Some(at(1, 4000)), Caller::default());
        let now = Instant::now();
        assert_eq!(latch.remote(now), Some(at(1, 4000)));
        assert!(latch.accepts(now, at(9, 31_000)), "behind NAT it comes from elsewhere");
        latch.take(now, at(9, 31_000));
        assert_eq!(latch.remote(now), Some(at(9, 31_000)));
    }

    #[test]
    fn a_stranger_takes_the_place_only_of_a_silent_stranger() {
        let mut latch = Latch::new(Some(at(1, 4000)), stranger(2));
        let now = Instant::now();
        latch.take(now, at(9, 31_000));
        let (soon, later) = (now + SILENT_AFTER - Duration::from_millis(1), now + SILENT_AFTER);
        assert!(!latch.accepts(soon, at(66, 1)));
        assert!(latch.accepts(later, at(66, 1)));
        latch.take(now, at(2, 31_000));
        assert!(!latch.accepts(later, at(66, 1)), "the phone's own address is kept");
        assert!(latch.accepts(later, at(2, 31_001)), "another port of it");
    }

    #[test]
    fn whoever_was_there_first_makes_way_for_the_phone() {
        let now = Instant::now();
        let mut latch = Latch::new(Some(SocketAddr::from(([10, 0, 0, 5], 4000))), stranger(2));
        latch.take(now, at(66, 1));
        assert!(latch.accepts(now, at(2, 31_000)), "from where it calls");
        latch.take(now, at(2, 31_000));
        assert!(!latch.accepts(now, at(66, 1)));
        let mut latch = Latch::new(Some(at(1, 4000)), Caller::default());
        latch.take(now, at(66, 1));
        assert!(latch.accepts(now, at(1, 4001)), "from where it says, though another port");
    }

    #[test]
    fn a_new_address_in_an_offer_is_gone_to_at_once() {
        let now = Instant::now();
        let mut latch = Latch::new(Some(at(1, 4000)), Caller::default());
        latch.take(now, at(1, 4000));
        latch.say(Some(at(1, 4000)));
        assert_eq!(latch.remote(now), Some(at(1, 4000)));
        latch.say(Some(at(2, 4000)));
        assert_eq!(latch.remote(now), Some(at(2, 4000)));
        latch.say(None);
        assert_eq!(latch.remote(now), None);
        latch.take(now, at(3, 4000));
        assert_eq!(latch.remote(now), Some(at(3, 4000)), "it names no address, and has one");
    }

    #[test]
    fn one_forged_packet_brings_no_more_than_seconds_of_sound() {
        let now = Instant::now();
        let mut latch = Latch::new(Some(at(1, 4000)), stranger(1));
        latch.take(now, at(66, 53_000));
        assert_eq!(latch.remote(now + DOUBTED_AFTER), Some(at(66, 53_000)));
        assert_eq!(latch.remote(now + DOUBTED_AFTER + Duration::from_millis(1)), None);
        let mut known = Latch::new(Some(at(1, 4000)), Caller { is_known: true, ..stranger(1) });
        known.take(now, at(66, 53_000));
        assert_eq!(known.remote(now + Duration::from_secs(60)), Some(at(66, 53_000)));
    }

    #[test]
    fn what_only_a_stranger_says_is_no_proof() {
        let is_proven = |said, caller| Latch::new(Some(said), caller).is_proven();
        assert!(!is_proven(at(66, 4000), stranger(1)));
        assert!(is_proven(at(1, 4000), stranger(1)));
        assert!(is_proven(at(66, 4000), Caller { is_known: true, ..stranger(1) }));
        let mut latch = Latch::new(Some(at(66, 4000)), stranger(1));
        latch.take(Instant::now(), at(66, 4000));
        assert!(latch.is_proven());
    }
}
