//! What has to arrive, in order: messages to a node, over the network that loses some. The protocol is KCP, which sends again
//! within a round trip or two; TCP's own would wait a second where little is said.
//!
//! A stream is between one life of a node and one of another. When it is stuck, or too full, both begin a new one, and those
//! above tell all again: [`StreamEvent::Began`].

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use kcp::Kcp;

use crate::ids::BootId;

/// A segment, within what the network carries.
const SEGMENT_BYTES_MAX: usize = 1100;

/// Segments under way at once: 140 kB a round trip.
const WINDOW: u16 = 128;

/// What waits, in bytes and in segments, of which a small message is one. More is more than the other side takes, and it needs the
/// newest state, not all that led to it.
const WAITING_BYTES_MAX: usize = 4 << 20;
const WAITING_MAX: usize = 1 << 16;

/// The longest message: KCP counts the segments of one up to 127.
pub(crate) const MESSAGE_BYTES_MAX: usize = 100 * 1024;

/// Looked at so often while something is under way.
const INTERVAL_MS: i32 = 10;

/// A segment that was sent so often, over some seconds, does not arrive.
const SENT_MAX: u32 = 10;

/// What is before each segment: who sends it, to which life of whom, and which stream of theirs it is.
const HEADER_BYTES: usize = 8 + 8 + 4;

/// What came of a stream.
#[derive(Debug, PartialEq)]
pub(crate) enum StreamEvent {
    /// It begins anew: what was said before may have been lost.
    Began,
    Message(Vec<u8>),
}

/// One side of a stream.
pub(crate) struct Stream {
    own: BootId,
    theirs: BootId,
    /// Counts the streams between the two; the higher one holds.
    generation: u32,
    kcp: Kcp<Segments>,
    segments: Segments,
    origin: Instant,
    update_at: Option<Instant>,
    /// Bytes that were sent since nothing waited.
    sent_bytes: usize,
    out: VecDeque<Vec<u8>>,
    events: VecDeque<StreamEvent>,
}

#[derive(Clone, Default)]
struct Segments(Rc<RefCell<Vec<Vec<u8>>>>);

impl io::Write for Segments {
    fn write(&mut self, segment: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().push(segment.to_vec());
        Ok(segment.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Stream {
    /// The stream of that generation: 0, or one more than that of the one which was given up.
    pub(crate) fn new(now: Instant, own: BootId, theirs: BootId, generation: u32) -> Stream {
        let segments = Segments::default();
        let mut stream = Stream {
            own,
            theirs,
            generation,
            kcp: new_kcp(generation, &segments),
            segments,
            origin: now,
            update_at: None,
            sent_bytes: 0,
            out: VecDeque::new(),
            events: VecDeque::from([StreamEvent::Began]),
        };
        if generation > 0 {
            // The other side may have the former one still.
            stream.out.push_back(stream.with_header(&[]));
        }
        stream
    }

    pub(crate) fn generation(&self) -> u32 {
        self.generation
    }

    pub(crate) fn theirs(&self) -> BootId {
        self.theirs
    }

    /// Sends a message of at most [`MESSAGE_BYTES_MAX`]. If too much waits already, all that waits is given up and the stream begins
    /// anew.
    pub(crate) fn send(&mut self, now: Instant, message: &[u8]) {
        if self.kcp.wait_snd() == 0 {
            self.sent_bytes = 0;
        }
        self.sent_bytes += message.len();
        let is_too_much = self.kcp.wait_snd() > WAITING_MAX
            || (self.sent_bytes > WAITING_BYTES_MAX
                && self.kcp.wait_snd() * SEGMENT_BYTES_MAX > WAITING_BYTES_MAX);
        if is_too_much || message.len() > MESSAGE_BYTES_MAX || self.kcp.send(message).is_err() {
            return self.restart(self.generation + 1);
        }
        // Now, and not with the next update: KCP sends what is new only then.
        self.update(now);
        let _ = self.kcp.flush();
        self.collect();
    }

    pub(crate) fn handle_segment(&mut self, now: Instant, segment: &[u8]) {
        let Some((header, segment)) = segment.split_first_chunk::<HEADER_BYTES>() else {
            return;
        };
        let word = |at: usize| u64::from_be_bytes(header[at..at + 8].try_into().expect("eight bytes"));
        if (BootId(word(0)), BootId(word(8))) != (self.theirs, self.own) {
            return;
        }
        let generation = u32::from_be_bytes(header[16..].try_into().expect("four bytes"));
        if generation < self.generation {
            // They have yet to hear that there is a new one.
            self.out.push_back(self.with_header(&[]));
            return;
        }
        if generation > self.generation {
            self.restart(generation);
        }
        if segment.is_empty() || self.kcp.input(segment).is_err() {
            return;
        }
        self.update(now);
        let _ = self.kcp.flush();
        while let Ok(length) = self.kcp.peeksize() {
            let mut message = vec![0; length];
            if self.kcp.recv(&mut message).is_err() {
                break;
            }
            self.events.push_back(StreamEvent::Message(message));
        }
        self.collect();
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        if self.update_at.is_some_and(|at| at <= now) {
            self.update(now);
            self.collect();
            if self.kcp.is_dead_link() {
                self.restart(self.generation + 1);
            }
        }
    }

    /// When [`Stream::handle_timeout`] is due; `None` while nothing is under way.
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        self.update_at
    }

    /// A segment to be sent.
    pub(crate) fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        self.out.pop_front()
    }

    pub(crate) fn poll_event(&mut self) -> Option<StreamEvent> {
        self.events.pop_front()
    }

    fn restart(&mut self, generation: u32) {
        self.generation = generation;
        self.segments.0.borrow_mut().clear();
        self.kcp = new_kcp(generation, &self.segments);
        self.update_at = None;
        self.sent_bytes = 0;
        self.out.clear();
        self.out.push_back(self.with_header(&[]));
        self.events.push_back(StreamEvent::Began);
    }

    fn update(&mut self, now: Instant) {
        let time = now.saturating_duration_since(self.origin).as_millis() as u32;
        // It fails only where it was never asked to update before.
        let _ = self.kcp.update(time);
        let is_idle = self.kcp.wait_snd() == 0;
        let after = Duration::from_millis(self.kcp.check(time).max(1).into());
        self.update_at = (!is_idle).then(|| now + after);
    }

    fn collect(&mut self) {
        let segments = std::mem::take(&mut *self.segments.0.borrow_mut());
        for segment in segments {
            self.out.push_back(self.with_header(&segment));
        }
        if self.kcp.wait_snd() > 0 && self.update_at.is_none() {
            self.update_at = Some(self.origin);
        }
    }

    fn with_header(&self, segment: &[u8]) -> Vec<u8> {
        let mut datagram = Vec::with_capacity(HEADER_BYTES + segment.len());
        datagram.extend(self.own.0.to_be_bytes());
        datagram.extend(self.theirs.0.to_be_bytes());
        datagram.extend(self.generation.to_be_bytes());
        datagram.extend(segment);
        datagram
    }
}

fn new_kcp(generation: u32, segments: &Segments) -> Kcp<Segments> {
    let mut kcp = Kcp::new(generation, segments.clone());
    kcp.set_mtu(SEGMENT_BYTES_MAX).expect("it is longer than a header");
    kcp.set_nodelay(true, INTERVAL_MS, 2, true);
    kcp.set_wndsize(WINDOW, WINDOW * 2);
    kcp.set_maximum_resend_times(SENT_MAX);
    kcp
}

#[cfg(test)]
mod tests {
    use rand::rngs::SmallRng;
    use rand::{RngExt, SeedableRng};

    use super::*;

    struct Pair {
        now: Instant,
        streams: [Stream; 2],
        under_way: Vec<(Instant, usize, Vec<u8>)>,
        rng: SmallRng,
        loss: f64,
        events: [Vec<StreamEvent>; 2],
        sent: usize,
    }

    impl Pair {
        fn new(seed: u64) -> Pair {
            let now = Instant::now();
            let stream = |own, theirs| Stream::new(now, BootId(own), BootId(theirs), 0);
            Pair {
                now,
                streams: [stream(1, 2), stream(2, 1)],
                under_way: Vec::new(),
                rng: SmallRng::seed_from_u64(seed),
                loss: 0.0,
                events: [Vec::new(), Vec::new()],
                sent: 0,
            }
        }

        fn run(&mut self, ms: u64) {
            for _ in 0..ms {
                self.now += Duration::from_millis(1);
                for (_, to, segment) in self.under_way.extract_if(.., |(at, ..)| *at <= self.now) {
                    self.streams[to].handle_segment(self.now, &segment);
                }
                for side in 0..2 {
                    let stream = &mut self.streams[side];
                    stream.handle_timeout(self.now);
                    while let Some(segment) = stream.poll_transmit() {
                        self.sent += 1;
                        if !self.rng.random_bool(self.loss) {
                            let delay = Duration::from_millis(self.rng.random_range(3..9));
                            self.under_way.push((self.now + delay, 1 - side, segment));
                        }
                    }
                    self.events[side].extend(std::iter::from_fn(|| stream.poll_event()));
                }
            }
        }

        fn messages(&self, side: usize) -> Vec<&[u8]> {
            let message = |event: &'_ StreamEvent| matches!(event, StreamEvent::Message(_));
            let events = self.events[side].iter().filter(|event| message(event));
            events.map(|event| if let StreamEvent::Message(m) = event { &m[..] } else { &[] }).collect()
        }
    }

    #[test]
    fn all_arrives_in_order_through_a_fifth_of_loss() {
        for seed in 0..5 {
            let mut pair = Pair::new(seed);
            pair.loss = 0.2;
            for n in 0..200u32 {
                pair.streams[0].send(pair.now, &n.to_be_bytes());
                pair.streams[1].send(pair.now, &vec![n as u8; 15_000]);
                pair.run(10);
            }
            pair.run(3000);
            let told: Vec<u32> =
                pair.messages(1).iter().map(|m| u32::from_be_bytes((*m).try_into().expect("four"))).collect();
            assert_eq!(told, (0..200).collect::<Vec<_>>(), "seed {seed}");
            assert!(pair.messages(0).iter().all(|message| message.len() == 15_000));
            assert_eq!(pair.messages(0).len(), 200, "seed {seed}");
        }
    }

    #[test]
    fn a_message_is_there_after_one_way_and_a_quiet_stream_sends_nothing() {
        let mut pair = Pair::new(1);
        pair.run(1000);
        pair.streams[0].send(pair.now, b"now");
        pair.run(10);
        assert_eq!(pair.messages(1), [b"now"]);
        pair.run(500);
        let sent = pair.sent;
        pair.run(60_000);
        assert_eq!(pair.sent, sent);
        assert!(pair.streams.iter().all(|stream| stream.next_timeout().is_none()));
    }

    #[test]
    fn a_stream_that_is_stuck_begins_anew_on_both_sides() {
        let mut pair = Pair::new(2);
        pair.loss = 1.0;
        pair.streams[0].send(pair.now, b"lost");
        pair.run(60_000);
        let began = |pair: &Pair, side: usize| {
            pair.events[side].iter().filter(|event| **event == StreamEvent::Began).count()
        };
        assert!(began(&pair, 0) == 2, "{}", began(&pair, 0));
        pair.loss = 0.0;
        pair.streams[0].send(pair.now, b"anew");
        pair.streams[1].send(pair.now, b"from the former");
        pair.run(200);
        pair.streams[1].send(pair.now, b"too");
        pair.run(200);
        assert_eq!(began(&pair, 1), 2);
        assert_eq!((pair.messages(1), pair.messages(0)), (vec![&b"anew"[..]], vec![&b"too"[..]]));
    }

    #[test]
    fn a_side_that_does_not_take_makes_no_queue_without_end() {
        let mut pair = Pair::new(3);
        for _ in 0..20_000 {
            pair.streams[0].send(pair.now, &[0; 1000]);
        }
        assert!(pair.streams[0].kcp.wait_snd() <= WAITING_BYTES_MAX / 1000 + 1);
        let began = pair.streams[0].events.iter().filter(|event| **event == StreamEvent::Began).count();
        assert!(began > 2);
    }

    #[test]
    fn thousands_of_small_messages_and_one_that_is_too_long_end_nothing() {
        let mut pair = Pair::new(4);
        pair.run(10);
        for _ in 0..10_000 {
            pair.streams[0].send(pair.now, &[7; 40]);
        }
        pair.run(5000);
        assert_eq!(pair.messages(1).len(), 10_000);
        pair.streams[0].send(pair.now, &vec![0; MESSAGE_BYTES_MAX]);
        pair.run(1000);
        assert_eq!(pair.messages(1).len(), 10_001);
        pair.streams[0].send(pair.now, &vec![0; MESSAGE_BYTES_MAX + 1]);
        pair.run(1000);
        assert_eq!(pair.events[1].last(), Some(&StreamEvent::Began));
    }

    #[test]
    fn what_another_life_sent_is_for_nobody() {
        let now = Instant::now();
        let mut former = Stream::new(now, BootId(7), BootId(1), 0);
        former.send(now, b"from before");
        let mut stream = Stream::new(now, BootId(1), BootId(8), 0);
        while let Some(segment) = former.poll_transmit() {
            stream.handle_segment(now, &segment);
            for cut in 0..segment.len() {
                stream.handle_segment(now, &segment[..cut]);
            }
        }
        assert_eq!(stream.poll_event(), Some(StreamEvent::Began));
        assert_eq!(stream.poll_event(), None);
    }
}
