//! What crosses between two nodes: sealed, so that whoever lacks the cluster's secret can neither read nor add anything.
//!
//! The Noise protocol framework (revision 34) with the pattern `NNpsk0`: both sides prove that they have the secret with
//! their first message, and the keys of a session are forgotten with it. A datagram names its number, since some are lost.

use aws_lc_rs::digest::{SHA256, digest};
use snow::params::NoiseParams;
use snow::{Builder, HandshakeState, StatelessTransportState};

/// X25519, and AES-GCM because the machines have instructions for it.
const PATTERN: &str = "Noise_NNpsk0_25519_AESGCM_SHA256";

/// What both sides have to mean. Nodes of another version of what is inside are strangers.
const PROLOGUE: &[u8] = b"tercet cluster 2";

/// Of a sealed datagram, so much is the proof.
pub(crate) const TAG_BYTES: usize = 16;

const MESSAGE_BYTES_MAX: usize = 1024;

/// What all nodes of a cluster know and nobody else.
#[derive(Clone)]
pub struct Secret([u8; 32]);

impl Secret {
    /// Any text; it should be one that can't be guessed, such as `openssl rand -hex 32` gives.
    pub fn from_text(text: &str) -> Secret {
        let digest = digest(&SHA256, text.as_bytes());
        Secret(digest.as_ref().try_into().expect("SHA-256 gives 32 bytes"))
    }

    fn builder(&self) -> Builder<'_> {
        let params: NoiseParams = PATTERN.parse().expect("the pattern is one that snow has");
        let builder = Builder::new(params).prologue(PROLOGUE).and_then(|builder| builder.psk(0, &self.0));
        builder.expect("each is set once")
    }
}

/// A handshake that waits for its answer.
pub(crate) struct Initiation(HandshakeState);

/// Begins a handshake: what to send.
pub(crate) fn initiate(secret: &Secret, hello: &[u8]) -> Option<(Initiation, Vec<u8>)> {
    let mut state = secret.builder().build_initiator().ok()?;
    let message = write(&mut state, hello)?;
    Some((Initiation(state), message))
}

/// Answers a handshake: the session, what its initiator says, and what to send. `None` for one of somebody who lacks the
/// secret, which costs a hash and a tag; or if it is not to be answered, by what it says: an answer costs a hundred times as much.
pub(crate) fn respond(
    secret: &Secret,
    message: &[u8],
    hello: &[u8],
    may_answer: impl FnOnce(&[u8]) -> bool,
) -> Option<(Seal, Vec<u8>, Vec<u8>)> {
    let mut state = secret.builder().build_responder().ok()?;
    let theirs = read(&mut state, message)?;
    if !may_answer(&theirs) {
        return None;
    }
    let answer = write(&mut state, hello)?;
    Some((Seal::new(state)?, theirs, answer))
}

impl Initiation {
    /// The answer came: the session, and what its responder says.
    pub(crate) fn finish(mut self, answer: &[u8]) -> Option<(Seal, Vec<u8>)> {
        let theirs = read(&mut self.0, answer)?;
        Some((Seal::new(self.0)?, theirs))
    }
}

fn write(state: &mut HandshakeState, payload: &[u8]) -> Option<Vec<u8>> {
    let mut message = vec![0; MESSAGE_BYTES_MAX];
    let length = state.write_message(payload, &mut message).ok()?;
    message.truncate(length);
    Some(message)
}

fn read(state: &mut HandshakeState, message: &[u8]) -> Option<Vec<u8>> {
    let mut payload = vec![0; MESSAGE_BYTES_MAX];
    let length = state.read_message(message, &mut payload).ok()?;
    payload.truncate(length);
    Some(payload)
}

/// The keys of a session, and which datagrams they have served for.
pub(crate) struct Seal {
    keys: StatelessTransportState,
    next: u64,
    window: Window,
}

impl Seal {
    fn new(state: HandshakeState) -> Option<Seal> {
        let keys = state.into_stateless_transport_mode().ok()?;
        Some(Seal { keys, next: 0, window: Window::default() })
    }

    /// Appends the sealed datagram, after whose number it returns.
    pub(crate) fn seal(&mut self, plain: &[u8], out: &mut Vec<u8>) {
        let number = self.next;
        self.next += 1;
        out.extend(number.to_be_bytes());
        let begin = out.len();
        out.resize(begin + plain.len() + TAG_BYTES, 0);
        self.keys
            .write_message(number, plain, &mut out[begin..])
            .expect("there is room, and a datagram is shorter than Noise allows");
    }

    /// The inside of a datagram; `None` for one that is forged, or was here before.
    pub(crate) fn open(&mut self, sealed: &[u8]) -> Option<Vec<u8>> {
        let (number, sealed) = sealed.split_first_chunk::<8>()?;
        let number = u64::from_be_bytes(*number);
        if !self.window.is_new(number) {
            return None;
        }
        let mut plain = vec![0; sealed.len().checked_sub(TAG_BYTES)?];
        self.keys.read_message(number, sealed, &mut plain).ok()?;
        self.window.take(number);
        Some(plain)
    }

    /// How many datagrams came, and how many were sent as far as is known from their numbers.
    pub(crate) fn received(&self) -> (u64, u64) {
        (self.window.count, self.window.end)
    }
}

/// Which numbers were there (RFC 4303, section 3.4.3, and its appendix A2): those below the window count as such.
#[derive(Debug, Default)]
struct Window {
    /// The number after the highest.
    end: u64,
    /// Of the numbers below the end, the highest in the lowest bit.
    seen: u128,
    count: u64,
}

impl Window {
    fn is_new(&self, number: u64) -> bool {
        // The last number is never used (Noise, section 5.1).
        let after = number.checked_add(1);
        after.is_some_and(|after| match self.end.checked_sub(after) {
            Some(age) => age < u64::from(u128::BITS) && self.seen >> age & 1 == 0,
            None => true,
        })
    }

    fn take(&mut self, number: u64) {
        self.count += 1;
        match self.end.checked_sub(number + 1) {
            Some(age) => self.seen |= 1 << age,
            None => {
                let ahead = number + 1 - self.end;
                self.seen =
                    u32::try_from(ahead).ok().and_then(|by| self.seen.checked_shl(by)).unwrap_or(0) | 1;
                self.end = number + 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(one: &Secret, other: &Secret) -> Option<(Seal, Seal)> {
        let (initiation, message) = initiate(one, b"hello").expect("snow has the pattern");
        let (responder, hello, answer) = respond(other, &message, b"answer", |_| true)?;
        assert_eq!(hello, b"hello");
        let (initiator, answer) = initiation.finish(&answer)?;
        assert_eq!(answer, b"answer");
        Some((initiator, responder))
    }

    #[test]
    fn two_who_know_the_secret_understand_each_other_and_nobody_else_does() {
        let secret = Secret::from_text("a secret");
        let (mut one, mut other) = pair(&secret, &secret).expect("they share it");
        let (mut third, mut fourth) = pair(&secret, &secret).expect("they share it");
        let mut sealed = Vec::new();
        one.seal(b"what crosses", &mut sealed);
        assert!(!sealed.windows(4).any(|part| part == b"what"));
        assert_eq!(third.open(&sealed).or(fourth.open(&sealed)), None, "another session's keys");
        assert_eq!(other.open(&sealed).as_deref(), Some(&b"what crosses"[..]));
        assert!(pair(&secret, &Secret::from_text("another")).is_none());
    }

    #[test]
    fn a_datagram_counts_once_and_a_changed_one_never() {
        let secret = Secret::from_text("a secret");
        let (mut one, mut other) = pair(&secret, &secret).expect("they share it");
        let datagrams: Vec<Vec<u8>> = (0..300u32)
            .map(|n| {
                let mut sealed = Vec::new();
                one.seal(&n.to_be_bytes(), &mut sealed);
                sealed
            })
            .collect();
        let mut changed = datagrams[0].clone();
        *changed.last_mut().expect("it isn't empty") ^= 1;
        assert_eq!(other.open(&changed), None);
        // Late by fewer than the window is wide, in another order, and twice.
        for n in (0..296).map(|n| n ^ 7) {
            assert!(other.open(&datagrams[n]).is_some(), "{n}");
            assert_eq!(other.open(&datagrams[n]), None, "{n} again");
        }
        assert_eq!(other.open(&datagrams[0]), None, "older than the window");
        assert_eq!(other.received(), (296, 296));
    }

    #[test]
    fn a_number_far_ahead_or_at_the_end_does_no_harm() {
        let mut window = Window::default();
        for number in [0, 5_000_000_000, 1 << 60] {
            assert!(window.is_new(number));
            window.take(number);
            assert!(!window.is_new(number));
        }
        assert!(!window.is_new(u64::MAX));
        assert!(window.is_new((1 << 60) - 127) && !window.is_new((1 << 60) - 128));
    }
}
