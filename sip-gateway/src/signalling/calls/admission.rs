//! Who is let in how often: trunks by their source, and buckets of tokens by source and trunk.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::super::source::counted_as;
use super::super::{CallId, Config, Limits};
use crate::Buckets;

const MINUTE: Duration = Duration::from_secs(60);

/// All that is counted of who comes how often.
#[derive(Debug)]
pub(super) struct Admission {
    requests: Buckets<IpAddr>,
    calls_of_source: Buckets<IpAddr>,
    calls_of_trunk: Buckets<usize>,
    failures: Buckets<IpAddr>,
    requests_of_call: Buckets<CallId>,
    /// Where registrations were accepted: calls of that trunk come from there too.
    registered_at: HashMap<usize, IpAddr>,
}

impl Admission {
    pub(super) fn new(config: &Config) -> Admission {
        let Limits {
            requests_per_source_per_minute,
            calls_per_source_per_minute,
            calls_per_trunk_per_minute,
            failures_per_source_per_minute,
            requests_per_call_per_second,
            ..
        } = config.limits;
        Admission {
            requests: Buckets::new(requests_per_source_per_minute, MINUTE),
            calls_of_source: Buckets::new(calls_per_source_per_minute, MINUTE),
            calls_of_trunk: Buckets::new(calls_per_trunk_per_minute, MINUTE),
            failures: Buckets::new(failures_per_source_per_minute, MINUTE),
            requests_of_call: Buckets::new(requests_per_call_per_second, Duration::from_secs(1)),
            registered_at: HashMap::new(),
        }
    }

    /// Whether a request outside of calls is looked at. Trunks have limits of their own.
    pub(super) fn takes_request(&mut self, now: Instant, config: &Config, source: IpAddr) -> bool {
        self.trunk_of(config, source).is_some()
            || (self.failures.has(now, &counted_as(source)) && self.requests.take(now, counted_as(source)))
    }

    /// Whether a request within a call is looked at.
    pub(super) fn takes_request_within(&mut self, now: Instant, call: CallId) -> bool {
        self.requests_of_call.take(now, call)
    }

    /// Whether a source may call once more.
    pub(super) fn takes_call(&mut self, now: Instant, trunk: Option<usize>, source: IpAddr) -> bool {
        match trunk {
            Some(trunk) => self.calls_of_trunk.take(now, trunk),
            None => self.calls_of_source.take(now, counted_as(source)),
        }
    }

    pub(super) fn count_failure(&mut self, now: Instant, source: IpAddr) {
        self.failures.take(now, counted_as(source));
    }

    /// The trunk that a source is of.
    pub(super) fn trunk_of(&self, config: &Config, source: IpAddr) -> Option<usize> {
        let source = source.to_canonical();
        let configured =
            config.trunks.iter().position(|trunk| trunk.sources.iter().any(|net| net.contains(&source)));
        configured
            .or_else(|| self.registered_at.iter().find(|(_, at)| **at == source).map(|(trunk, _)| *trunk))
    }

    pub(super) fn set_registered_at(&mut self, trunk: usize, at: Option<IpAddr>) {
        match at {
            Some(at) => self.registered_at.insert(trunk, at.to_canonical()),
            None => self.registered_at.remove(&trunk),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_of_an_ipv6_address_are_those_of_its_network() {
        let limits = Limits {
            requests_per_source_per_minute: 2,
            calls_per_source_per_minute: 2,
            failures_per_source_per_minute: 2,
            ..Limits::default()
        };
        let config = Config { limits, ..Config::default() };
        let mut admission = Admission::new(&config);
        let now = Instant::now();
        let of = |network: u16, host: u16| IpAddr::from([0x2001, 0xdb8, 0, network, 0, 0, 0, host]);
        assert_eq!((0..5).filter(|host| admission.takes_request(now, &config, of(1, *host))).count(), 2);
        assert_eq!((0..5).filter(|host| admission.takes_call(now, None, of(1, *host))).count(), 2);
        (0..2).for_each(|host| admission.count_failure(now, of(2, host)));
        assert!(!admission.takes_request(now, &config, of(2, 9)));
        assert!(admission.takes_request(now, &config, of(3, 9)));
    }
}
