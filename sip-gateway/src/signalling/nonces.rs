//! Which nonces hold, and how often each was used (RFC 7616, section 3.4; RFC 3261, section 22.4).
//!
//! A nonce says when it was made and proves that we made it for that source, so that a challenge costs no memory, and nobody
//! guesses passwords in the name of a source that they can't hear. Only one that was used with the right password is
//! remembered, to see a count that comes twice; of those there is a bounded number.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::digest::{Qop, hex};

/// So many used nonces are remembered; when there are more, the oldest don't hold any longer.
const USED_MAX: usize = 8192;

/// Bytes of the proof: half of a SHA-256, so that the hash can't be extended.
const PROOF_BYTES: usize = 16;

/// What a nonce is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It holds, and this count is new.
    Fresh,
    /// It was ours, and is forgotten: ask again, with `stale=true`.
    Stale,
    /// This count was seen: a replay, or a client that doesn't count.
    Replayed,
}

/// One of ours that holds, as far as it can be told from itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Nonce {
    made_ms: u64,
    proof: [u8; PROOF_BYTES],
}

/// The nonces of one process.
pub(super) struct Nonces {
    secret: [u8; 32],
    started: Instant,
    lifetime: Duration,
    made: u64,
    used: HashMap<[u8; PROOF_BYTES], Counts>,
    /// In the order of their first use.
    order: VecDeque<[u8; PROOF_BYTES]>,
    /// What was made before it and isn't in `used` may have been forgotten.
    forgotten_ms: Option<u64>,
}

/// The highest count, and which of the 64 up to it were there.
struct Counts {
    made_ms: u64,
    highest: u32,
    seen: u64,
}

impl Nonces {
    pub(super) fn new(secret: [u8; 32], started: Instant, lifetime: Duration) -> Nonces {
        Nonces {
            secret,
            started,
            lifetime,
            made: 0,
            used: HashMap::new(),
            order: VecDeque::new(),
            forgotten_ms: None,
        }
    }

    /// A new one, for this source.
    pub(super) fn make(&mut self, now: Instant, source: IpAddr) -> String {
        self.made += 1;
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.age_ms(now).to_be_bytes());
        bytes[8..].copy_from_slice(&self.made.to_be_bytes());
        format!("{}{}", hex(&bytes), hex(&self.proof(&bytes, source)))
    }

    /// Reads a nonce that came from this source; `None` if it isn't ours, was given to somebody else, or is too old.
    pub(super) fn read(&self, now: Instant, source: IpAddr, nonce: &str) -> Option<Nonce> {
        let bytes = from_hex(nonce).filter(|bytes| bytes.len() == 16 + PROOF_BYTES)?;
        let proof = self.proof(&bytes[..16], source);
        let is_ours = bool::from(proof.ct_eq(&bytes[16..]));
        let made_ms = u64::from_be_bytes(bytes[..8].try_into().ok()?);
        let is_young = self.age_ms(now).saturating_sub(made_ms) <= self.lifetime_ms();
        (is_ours && is_young).then_some(Nonce { made_ms, proof })
    }

    /// Looks at a nonce that came with the right password, and remembers the count. Without a count it holds once.
    pub(super) fn use_up(&mut self, now: Instant, nonce: &Nonce, qop: Option<&Qop>) -> Verdict {
        let Nonce { made_ms, proof } = *nonce;
        let count = qop.map_or(1, |qop| qop.count);
        if let Some(counts) = self.used.get_mut(&proof) {
            return if counts.is_new(count) { Verdict::Fresh } else { Verdict::Replayed };
        }
        if self.forgotten_ms.is_some_and(|forgotten_ms| made_ms <= forgotten_ms) {
            return Verdict::Stale;
        }
        let mut counts = Counts { made_ms, highest: 0, seen: 0 };
        let is_new = counts.is_new(count);
        self.used.insert(proof, counts);
        self.order.push_back(proof);
        self.forget(self.age_ms(now));
        if is_new { Verdict::Fresh } else { Verdict::Replayed }
    }

    fn proof(&self, bytes: &[u8], source: IpAddr) -> [u8; PROOF_BYTES] {
        let source = match source.to_canonical() {
            IpAddr::V4(source) => source.to_ipv6_mapped(),
            IpAddr::V6(source) => source,
        };
        let hash = Sha256::new()
            .chain_update(self.secret)
            .chain_update(bytes)
            .chain_update(source.octets())
            .finalize();
        hash[..PROOF_BYTES].try_into().expect("SHA-256 has twice as many")
    }

    fn age_ms(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.started).as_millis()).unwrap_or(u64::MAX)
    }

    fn lifetime_ms(&self) -> u64 {
        u64::try_from(self.lifetime.as_millis()).unwrap_or(u64::MAX)
    }

    fn forget(&mut self, now_ms: u64) {
        let lifetime_ms = self.lifetime_ms();
        while let Some(oldest) = self.order.front() {
            let made_ms = self.used.get(oldest).map_or(0, |counts| counts.made_ms);
            let is_over = now_ms.saturating_sub(made_ms) > lifetime_ms;
            if !is_over && self.order.len() <= USED_MAX {
                break;
            }
            if !is_over {
                self.forgotten_ms = self.forgotten_ms.max(Some(made_ms));
            }
            self.used.remove(oldest);
            self.order.pop_front();
        }
    }
}

impl Counts {
    /// Counts may come out of order over UDP, like packets of SRTP (RFC 3711, section 3.3.2).
    fn is_new(&mut self, count: u32) -> bool {
        if count == 0 {
            return false;
        }
        if count > self.highest {
            let ahead = count - self.highest;
            self.seen = if ahead >= 64 { 0 } else { self.seen << ahead };
            self.seen |= 1;
            self.highest = count;
            return true;
        }
        let behind = self.highest - count;
        let is_new = behind < 64 && self.seen & 1 << behind == 0;
        if is_new {
            self.seen |= 1 << behind;
        }
        is_new
    }
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    if !text.is_ascii() || !text.len().is_multiple_of(2) {
        return None;
    }
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIFETIME: Duration = Duration::from_secs(60);
    const SOURCE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));

    fn nonces(now: Instant) -> Nonces {
        Nonces::new([3; 32], now, LIFETIME)
    }

    fn made(nonces: &mut Nonces, now: Instant) -> Nonce {
        let nonce = nonces.make(now, SOURCE);
        nonces.read(now, SOURCE, &nonce).unwrap()
    }

    fn count(count: u32) -> Option<Qop> {
        let claim = format!(
            "Digest username=\"a\", realm=\"b\", nonce=\"c\", uri=\"d\", response=\"e\", qop=auth, cnonce=\"f\", nc={count:08x}"
        );
        super::super::digest::Claim::parse(&claim).unwrap().qop
    }

    #[test]
    fn each_count_holds_once_in_any_order() {
        let now = Instant::now();
        let mut nonces = nonces(now);
        let nonce = made(&mut nonces, now);
        for (next, verdict) in [
            (1, Verdict::Fresh),
            (1, Verdict::Replayed),
            (3, Verdict::Fresh),
            (2, Verdict::Fresh),
            (2, Verdict::Replayed),
            (0, Verdict::Replayed),
            (100, Verdict::Fresh),
            (36, Verdict::Replayed),
            (37, Verdict::Fresh),
        ] {
            assert_eq!(nonces.use_up(now, &nonce, count(next).as_ref()), verdict, "{next}");
        }
    }

    #[test]
    fn nonce_without_a_count_holds_once() {
        let now = Instant::now();
        let mut nonces = nonces(now);
        let nonce = made(&mut nonces, now);
        assert_eq!(nonces.use_up(now, &nonce, None), Verdict::Fresh);
        assert_eq!(nonces.use_up(now, &nonce, None), Verdict::Replayed);
    }

    #[test]
    fn nonce_holds_for_its_lifetime_and_no_longer() {
        let now = Instant::now();
        let mut nonces = nonces(now);
        let nonce = nonces.make(now, SOURCE);
        assert!(nonces.read(now + LIFETIME, SOURCE, &nonce).is_some());
        assert_eq!(nonces.read(now + LIFETIME + Duration::from_millis(1), SOURCE, &nonce), None);
    }

    #[test]
    fn nonce_of_or_for_somebody_else_is_none() {
        let now = Instant::now();
        let mut nonces = nonces(now);
        let foreign = Nonces::new([4; 32], now, LIFETIME).make(now, SOURCE);
        for nonce in [foreign.as_str(), "", "zz", "ä", &foreign[2..]] {
            assert_eq!(nonces.read(now, SOURCE, nonce), None, "{nonce}");
        }
        let ours = nonces.make(now, SOURCE);
        assert!(nonces.read(now, SOURCE, &ours).is_some());
        assert_eq!(nonces.read(now, IpAddr::from([192, 0, 2, 3]), &ours), None);
    }

    #[test]
    fn memory_is_bounded_and_what_is_forgotten_does_not_hold_again() {
        let now = Instant::now();
        let mut nonces = nonces(now);
        let first = made(&mut nonces, now);
        assert_eq!(nonces.use_up(now, &first, count(1).as_ref()), Verdict::Fresh);
        let later = now + Duration::from_secs(1);
        for _ in 0..USED_MAX {
            let nonce = made(&mut nonces, later);
            assert_eq!(nonces.use_up(later, &nonce, count(1).as_ref()), Verdict::Fresh);
        }
        assert_eq!(nonces.used.len(), USED_MAX);
        assert_eq!(nonces.use_up(later, &first, count(1).as_ref()), Verdict::Stale);
    }
}
