//! Wrong PINs of a caller, over all their calls: three tries a call would be a hundred in a minute.

use std::net::IpAddr;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use tercet_sip_gateway::Buckets;
use tercet_sip_gateway::signalling::{Incoming, Peer};

use super::dialling::lock;

/// So many wrong PINs of one caller in so long; who has more isn't asked for one.
const WRONG_MAX: u32 = 10;
const WITHIN: Duration = Duration::from_secs(3600);

/// By what callers are told apart.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Guesser {
    /// All that come through a trunk come from its address: by their number, which it vouches for or doesn't.
    OfTrunk { trunk: String, number: String },
    /// By where they call from.
    At(IpAddr),
}

impl From<&Incoming> for Guesser {
    fn from(incoming: &Incoming) -> Guesser {
        match &incoming.peer {
            Peer::Trunk(trunk) => {
                Guesser::OfTrunk { trunk: trunk.clone(), number: incoming.from.user.clone() }
            }
            Peer::User(_) | Peer::Anonymous => Guesser::At(incoming.source.ip()),
        }
    }
}

/// Who may still try.
pub(super) struct WrongPins(Mutex<Buckets<Guesser>>);

impl Default for WrongPins {
    fn default() -> WrongPins {
        WrongPins(Mutex::new(Buckets::new(WRONG_MAX, WITHIN)))
    }
}

impl WrongPins {
    /// Whether the caller may be asked for a PIN.
    pub(super) fn may_try(&self, now: Instant, guesser: &Guesser) -> bool {
        lock(&self.0).has(now, guesser)
    }

    /// The caller has entered a wrong one. Returns whether there is one more to try: of calls at once, each learns.
    pub(super) fn count(&self, now: Instant, guesser: &Guesser) -> bool {
        metrics::counter!("tercet_wrong_pins_total").increment(1);
        let mut buckets = lock(&self.0);
        buckets.take(now, guesser.clone()) && buckets.has(now, guesser)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_wrong_pins_are_enough_for_an_hour_but_not_for_others() {
        let (pins, now) = (WrongPins::default(), Instant::now());
        let caller = |number: &str| Guesser::OfTrunk { trunk: "t".to_owned(), number: number.to_owned() };
        for _ in 0..10 {
            assert!(pins.may_try(now, &caller("1")));
            pins.count(now, &caller("1"));
        }
        assert!(!pins.count(now, &caller("1")), "an eleventh, by a call that was there already");
        assert!(!pins.may_try(now, &caller("1")));
        assert!(pins.may_try(now, &caller("2")) && pins.may_try(now, &Guesser::At([127, 0, 0, 1].into())));
        assert!(!pins.may_try(now + Duration::from_secs(300), &caller("1")));
        assert!(pins.may_try(now + Duration::from_secs(400), &caller("1")), "one more each six minutes");
    }
}
