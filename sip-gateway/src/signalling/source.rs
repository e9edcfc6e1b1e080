//! Whose limits somebody is under, and how places are shared among sources.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};

/// The address that stands for a source where it is counted. Of IPv6 that is its /64, the least that anybody has: within it
/// they have more addresses than can be counted (RFC 4291, section 2.5.4).
pub(super) fn counted_as(source: IpAddr) -> IpAddr {
    match source.to_canonical() {
        IpAddr::V6(source) => IpAddr::V6(Ipv6Addr::from_bits(source.to_bits() & !u128::from(u64::MAX))),
        source @ IpAddr::V4(_) => source,
    }
}

/// Places that are taken, by source and all together.
#[derive(Debug, Default)]
pub(super) struct Shares {
    of_source: HashMap<IpAddr, usize>,
    all: usize,
}

impl Shares {
    /// Takes one, if the source has less than so many.
    pub(super) fn take(&mut self, source: IpAddr, of_source_max: usize) -> bool {
        let of_source = self.of_source.entry(counted_as(source)).or_default();
        let is_free = *of_source < of_source_max;
        if is_free {
            *of_source += 1;
            self.all += 1;
        } else if *of_source == 0 {
            self.of_source.remove(&counted_as(source));
        }
        is_free
    }

    pub(super) fn give_back(&mut self, source: IpAddr) {
        let source = counted_as(source);
        let Some(of_source) = self.of_source.get_mut(&source) else { return };
        *of_source -= 1;
        self.all -= 1;
        if *of_source == 0 {
            self.of_source.remove(&source);
        }
    }

    /// How many are taken.
    pub(super) fn all(&self) -> usize {
        self.all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_one_network_are_one_source() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        assert_eq!(counted_as(ip("2001:db8:1:2:3:4:5:6")), counted_as(ip("2001:db8:1:2::")));
        assert_ne!(counted_as(ip("2001:db8:1:2::1")), counted_as(ip("2001:db8:1:3::1")));
        assert_ne!(counted_as(ip("192.0.2.1")), counted_as(ip("192.0.2.2")));
        assert_eq!(counted_as(ip("::ffff:192.0.2.1")), ip("192.0.2.1"));
    }

    #[test]
    fn share_of_a_source_is_bounded_and_leaves_no_trace() {
        let mut shares = Shares::default();
        let (one, other) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
        assert_eq!((0..5).filter(|_| shares.take(one, 2)).count(), 2);
        assert!(shares.take(other, 2) && !shares.take(other, 0));
        assert_eq!(shares.all(), 3);
        for source in [one, one, one, other] {
            shares.give_back(source);
        }
        assert!(shares.of_source.is_empty() && shares.all() == 0 && !shares.take(one, 0));
        assert!(shares.of_source.is_empty());
    }
}
