//! How many sessions an address may begin that come to nothing: attempts in, whether one more is taken out.
//!
//! An attempt counts for a minute, unless media came to flow: a hundred players behind one address are welcome, a hundred
//! requests that nobody means are not.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::network::Network;

/// Attempts of an address within [`WINDOW`] that came to nothing, or to nothing yet.
const UNFINISHED_MAX: usize = 60;

const WINDOW: Duration = Duration::from_secs(60);

/// Addresses that are told apart. When there are more, one of them is forgotten for each that comes.
const ADDRESSES_MAX: usize = 16 * 1024;

/// Those of all addresses.
#[derive(Clone, Debug, Default)]
pub(crate) struct Attempts(Arc<Mutex<HashMap<Network, VecDeque<Instant>>>>);

/// One of them, until media flows.
#[derive(Debug)]
pub(crate) struct Attempt {
    attempts: Attempts,
    from: Network,
    at: Instant,
}

impl Attempts {
    /// One more from an address.
    ///
    /// # Errors
    /// After what time there may be another.
    pub(crate) fn begin(&self, now: Instant, from: IpAddr) -> Result<Attempt, Duration> {
        let from = Network::of(from);
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= ADDRESSES_MAX
            && !all.contains_key(&from)
            && let Some(other) = all.keys().next().copied()
        {
            // Which of them is chance: whoever has so many addresses can't lock others out.
            all.remove(&other);
        }
        let attempts = all.entry(from).or_default();
        while attempts.front().is_some_and(|&first| is_over(now, first)) {
            attempts.pop_front();
        }
        match attempts.front() {
            Some(&first) if attempts.len() >= UNFINISHED_MAX => {
                Err((first + WINDOW).saturating_duration_since(now))
            }
            _ => {
                attempts.push_back(now);
                Ok(Attempt { attempts: self.clone(), from, at: now })
            }
        }
    }
}

impl Attempt {
    /// Something came of it.
    pub(crate) fn succeed(self) {
        let mut all = self.attempts.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(attempts) = all.get_mut(&self.from) {
            if let Some(own) = attempts.iter().position(|&at| at == self.at) {
                attempts.remove(own);
            }
            if attempts.is_empty() {
                all.remove(&self.from);
            }
        }
    }
}

fn is_over(now: Instant, at: Instant) -> bool {
    now.saturating_duration_since(at) >= WINDOW
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    #[test]
    fn the_attempt_after_the_last_has_to_wait_until_the_first_is_a_minute_old() {
        let (attempts, now) = (Attempts::default(), Instant::now());
        for _ in 0..UNFINISHED_MAX {
            assert!(attempts.begin(now, address(1)).is_ok());
        }
        assert_eq!(attempts.begin(now + WINDOW / 2, address(1)).err(), Some(WINDOW / 2));
        assert!(attempts.begin(now, address(2)).is_ok(), "another address");
        assert!(attempts.begin(now + WINDOW, address(1)).is_ok());
    }

    #[test]
    fn sessions_that_came_about_do_not_count() {
        let (attempts, now) = (Attempts::default(), Instant::now());
        for _ in 0..UNFINISHED_MAX * 2 {
            attempts.begin(now, address(1)).expect("none is unfinished").succeed();
        }
        assert!(attempts.0.lock().is_ok_and(|all| all.is_empty()));
    }

    #[test]
    fn memory_is_bounded() {
        let (attempts, now) = (Attempts::default(), Instant::now());
        for n in 0..ADDRESSES_MAX as u32 {
            assert!(attempts.begin(now, IpAddr::from(n.to_be_bytes())).is_ok());
        }
        assert!(attempts.begin(now, address(1)).is_ok(), "nobody is locked out by others");
        assert_eq!(attempts.0.lock().map(|all| all.len()).ok(), Some(ADDRESSES_MAX));
    }
}
