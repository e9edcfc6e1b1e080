//! The media of one call on the thread of phones: its sockets, its leg, and what it is told beside the room.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use audio_mixer::{Codec, DtmfDetector, Encoder, FRAME_SAMPLES, Frame, FrameKind, SILENCE};
use bytes::Bytes;
use tercet_core::{EndpointId, RoomId};
use tercet_sip_gateway::leg::{Arrived, Caller, Dropped, Leg, Numbers};
use tercet_sip_gateway::sdp::Negotiated;
use tokio::sync::mpsc;

use super::socket::{Inbox, PhoneSocket};
use super::thread::{RoomKey, TICK};
use super::{LineEvent, PortPair};

/// One port is asked for datagrams so often at once, whatever comes of it.
const READS_AT_ONCE: usize = 64;

/// Datagrams that are read of one port at once: a second of a phone that sends packets of 20 ms.
const DATAGRAMS_AT_ONCE: usize = 50;

/// Datagrams that are read of one call at once.
pub(super) const CALL_DATAGRAMS_MAX: usize = 2 * DATAGRAMS_AT_ONCE;

/// Packets of 20 ms that come so far apart come one a tick.
const ONE_A_TICK: std::ops::Range<Duration> = Duration::from_millis(13)..Duration::from_millis(27);

/// A phone that rests is read in one tick of so many: three packets at once cost little more than one. Who speaks after a rest
/// is heard from the first word on, and up to 40 ms later until they are silent again.
const REST_TICKS: u32 = 3;

/// Something that is played to a phone: samples at [`audio_mixer::RATE_HZ`].
pub(crate) type Sound = Arc<[i16]>;

/// One call.
pub(super) struct Line {
    rtp: PhoneSocket,
    rtcp: PhoneSocket,
    /// When the last packet came.
    received_at: Option<Instant>,
    /// Nothing that it says is needed at once: it is read in one tick of [`REST_TICKS`].
    rests: bool,
    /// Ticks since it was read, this one among them.
    unread: u32,
    /// More has come than was read at once.
    has_more: bool,
    /// What it said while it rested, and has not been heard yet; [`REST_TICKS`] frames at most.
    held: VecDeque<(Frame, FrameKind)>,
    /// It was heard to say something in this tick: the rest is for the next ones.
    has_spoken: bool,
    pub(super) leg: Option<Leg>,
    caller: Caller,
    /// Where it takes part.
    pub(super) room: Option<(RoomKey, EndpointId)>,
    /// Where it is to take part, as soon as the room is there: its call's task may be faster than the control plane.
    pub(super) enters: Option<(RoomId, EndpointId)>,
    events: mpsc::Sender<LineEvent>,
    /// What is said to it, in place of the room, and how much of it was.
    said: Option<(Sound, usize)>,
    /// What is played, over and over, where nothing is said.
    music: Option<(Sound, usize)>,
    encoder: Option<(Codec, Box<dyn Encoder>)>,
    detector: DtmfDetector,
    scratch: Vec<u8>,
    /// How much louder it hears everything, as a factor.
    volume: f32,
    told_heard: bool,
    told_silent: bool,
}

/// What sending came to.
#[derive(Default)]
pub(super) struct Sent {
    pub(super) packets: u64,
    pub(super) bytes: u64,
    /// Packets that the system didn't take.
    pub(super) refused: u64,
}

impl Sent {
    /// A datagram was sent, and the system took it or not.
    pub(super) fn count(&mut self, datagram: &[u8], is_taken: bool) {
        if is_taken {
            self.packets += 1;
            self.bytes += datagram.len() as u64;
        } else {
            self.refused += 1;
        }
    }
}

/// What reading sockets came to.
#[derive(Default)]
pub(super) struct Received {
    pub(super) packets: u64,
    pub(super) bytes: u64,
    pub(super) dropped: Vec<Dropped>,
}

impl Line {
    pub(super) fn new(ports: PortPair, caller: Caller, events: mpsc::Sender<LineEvent>) -> Line {
        Line {
            rtp: PhoneSocket::new(ports.rtp),
            rtcp: PhoneSocket::new(ports.rtcp),
            received_at: None,
            rests: false,
            unread: 0,
            has_more: false,
            held: VecDeque::new(),
            has_spoken: false,
            leg: None,
            caller,
            room: None,
            enters: None,
            events,
            said: None,
            music: None,
            encoder: None,
            detector: DtmfDetector::default(),
            scratch: Vec::new(),
            volume: 1.0,
            told_heard: false,
            told_silent: false,
        }
    }

    /// What was agreed on with the phone, for the first time or anew. Returns whether its keys fit.
    pub(super) fn agree(&mut self, now: Instant, agreed: Negotiated) -> bool {
        match &mut self.leg {
            Some(leg) => leg.agree(now, agreed),
            None => {
                let numbers = Numbers {
                    ssrc: rand::random(),
                    sequence_number: rand::random(),
                    timestamp: rand::random(),
                };
                self.leg = Leg::new(now, agreed, self.caller, numbers);
                self.leg.is_some()
            }
        }
    }

    /// A tick has come, `nth` for this phone. Returns whether it is to be read in it.
    pub(super) fn begin_tick(&mut self, nth: u64) -> bool {
        self.unread = (self.unread + 1).min(REST_TICKS);
        self.has_spoken = false;
        !self.rests || self.has_more || nth.is_multiple_of(REST_TICKS.into())
    }

    /// Reads the phone's packets. Of a phone whose packets come one a tick no more are asked for than ticks have passed: one that
    /// finds nothing costs as much. Returns which datagrams of the inbox are its own.
    pub(super) fn read(&mut self, inbox: &mut Inbox) -> Range<usize> {
        let (start, mut steady) = (inbox.len(), 0);
        self.has_more = false;
        for _ in 0..READS_AT_ONCE {
            let at = match self.rtp.receive(inbox) {
                Ok(Some(at)) => at,
                Ok(None) => break,
                // ICMP told of a datagram that did not arrive (Linux, ip(7)): the next one is read.
                Err(_) => continue,
            };
            let apart = self.received_at.replace(at).map(|former| at.saturating_duration_since(former));
            steady += u32::from(apart.is_some_and(|apart| ONE_A_TICK.contains(&apart)));
            let is_fresh = inbox.now().saturating_duration_since(at) < TICK;
            self.has_more = inbox.len() - start >= DATAGRAMS_AT_ONCE;
            if self.has_more || steady >= self.unread && is_fresh {
                break;
            }
        }
        start..inbox.len()
    }

    /// Reads all that there is, on both ports. Returns which datagrams of the inbox are its own.
    pub(super) fn read_all(&mut self, inbox: &mut Inbox) -> Range<usize> {
        let first = inbox.len();
        for socket in [&self.rtp, &self.rtcp] {
            let start = inbox.len();
            for _ in 0..READS_AT_ONCE {
                let is_over = matches!(socket.receive(inbox), Ok(None));
                if is_over || inbox.len() - start >= DATAGRAMS_AT_ONCE {
                    break;
                }
            }
        }
        first..inbox.len()
    }

    /// Takes what was read of it.
    pub(super) fn take(&mut self, inbox: &Inbox, own: Range<usize>, received: &mut Received) {
        for datagram in inbox.datagrams(own) {
            received.packets += 1;
            received.bytes += datagram.bytes.len() as u64;
            let Some(leg) = &mut self.leg else {
                continue;
            };
            match leg.receive(datagram.at, datagram.from, datagram.bytes) {
                Arrived::Sound => {
                    if !std::mem::replace(&mut self.told_heard, true) {
                        self.tell(LineEvent::Heard);
                    }
                    self.told_silent = false;
                }
                Arrived::Key(key) => self.tell(LineEvent::Key(key)),
                Arrived::Report | Arrived::Goodbye | Arrived::Nothing => {}
                Arrived::Dropped(reason) => received.dropped.push(reason),
            }
        }
    }

    /// What is to be heard of it next in this tick, in place of what is in `frame`; `None` if there is no more. Of silence that is all
    /// there is; of what it says a frame a tick, as others have it, and what it said while it rested waits for the next ticks.
    pub(super) fn next_heard(&mut self, now: Instant, frame: &mut Frame) -> Option<FrameKind> {
        if self.has_spoken {
            while let Some(kind) = self.pull(now, frame) {
                if self.held.len() < REST_TICKS as usize {
                    self.held.push_back((*frame, kind));
                }
            }
            return None;
        }
        let Some((held, kind)) = self.held.pop_front() else {
            return self.pull(now, frame);
        };
        *frame = held;
        Some(kind)
    }

    /// It was heard, sound or silence. Whether what it says next can wait for some ticks: then nothing of it was waited for.
    pub(super) fn was_heard(&mut self, frame: &Frame, rests: bool) {
        self.rests = rests;
        self.has_spoken = !rests && *frame != SILENCE;
    }

    /// The phone's next 20 ms of those that have passed since it was read; `None` if there are no more, or it has no media.
    fn pull(&mut self, now: Instant, frame: &mut Frame) -> Option<FrameKind> {
        self.unread = self.unread.checked_sub(1)?;
        let kind = self.leg.as_mut()?.pull(now - TICK * self.unread, frame);
        self.detect_keys(frame);
        Some(kind)
    }

    /// Its media are beyond repair: the call is to end.
    pub(super) fn fail(&mut self) {
        self.leg = None;
        (self.rests, self.unread) = (false, 0);
        self.held.clear();
        self.tell(LineEvent::Silent);
    }

    /// Keys that are heard in what the phone says: where it can't send them otherwise.
    fn detect_keys(&mut self, frame: &Frame) {
        if self.leg.as_ref().is_some_and(|leg| leg.agreed().telephone_event.is_none())
            && let Some(key) = self.detector.hear(frame)
        {
            self.tell(LineEvent::Key(key));
        }
    }

    /// Nothing has come for long: whoever was there has gone.
    pub(super) fn look_whether_it_is_there(&mut self, now: Instant, silent_after: Duration) {
        let Some(leg) = &self.leg else {
            return;
        };
        let is_silent = leg.agreed().direction.receives()
            && now.saturating_duration_since(leg.heard_at()) >= silent_after;
        if is_silent && !std::mem::replace(&mut self.told_silent, true) {
            self.tell(LineEvent::Silent);
        }
    }

    /// Says something, in place of what is being said.
    pub(super) fn say(&mut self, sound: Option<Sound>) {
        self.said = sound.map(|sound| (sound, 0));
    }

    /// Plays something over and over where nothing is said, or nothing.
    pub(super) fn set_music(&mut self, music: Option<Sound>) {
        self.music = music.map(|music| (music, 0));
    }

    /// The next 20 ms of what is said to the phone, or played.
    pub(super) fn next_played(&mut self) -> Option<Frame> {
        if let Some((sound, at)) = &mut self.said {
            let mut frame = SILENCE;
            let rest = &sound[(*at).min(sound.len())..];
            let count = rest.len().min(FRAME_SAMPLES);
            frame[..count].copy_from_slice(&rest[..count]);
            *at += count;
            if *at >= sound.len() {
                self.said = None;
                self.tell(LineEvent::Said);
            }
            return Some(frame);
        }
        let (music, at) = self.music.as_mut().filter(|(music, _)| !music.is_empty())?;
        Some(std::array::from_fn(|_| {
            let sample = music[*at];
            *at = (*at + 1) % music.len();
            sample
        }))
    }

    /// A frame that only this phone hears, as its codec has it; `former` is what it heard just before.
    pub(super) fn encode(&mut self, frame: &Frame, former: &Frame, codec: Codec) -> Bytes {
        let fits = self.encoder.as_ref().is_some_and(|(of, _)| *of == codec);
        if !fits {
            let mut encoder = codec.encoder();
            // It takes over from another without a click if it knows what that one encoded last.
            encoder.encode(former, &mut self.scratch);
            self.encoder = Some((codec, encoder));
        }
        if let Some((_, encoder)) = &mut self.encoder {
            encoder.encode(frame, &mut self.scratch);
        }
        Bytes::copy_from_slice(&self.scratch)
    }

    /// It hears what others hear: nothing of its own is to be encoded.
    pub(super) fn forget_encoder(&mut self) {
        self.encoder = None;
    }

    /// How much louder it hears everything, in dB.
    pub(super) fn set_volume(&mut self, gain_db: i8) {
        self.volume = 10_f32.powf(f32::from(gain_db) / 20.0);
    }

    pub(super) fn has_volume(&self) -> bool {
        self.volume != 1.0
    }

    pub(super) fn amplify(&self, frame: &mut Frame) {
        if self.has_volume() {
            for sample in frame {
                *sample = (f32::from(*sample) * self.volume) as i16;
            }
        }
    }

    /// Sends, on one of its ports. Returns whether the system took it.
    pub(super) fn send(&self, is_rtcp: bool, datagram: &[u8], to: SocketAddr) -> bool {
        let socket = if is_rtcp { &self.rtcp } else { &self.rtp };
        socket.send(datagram, to)
    }

    /// Whoever has the call is behind only if it has ended for them, or a machine presses keys.
    fn tell(&self, event: LineEvent) {
        let _ = self.events.try_send(event);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "in a test, a panic is the message")]
mod tests {
    use std::net::UdpSocket;

    use tercet_sip_gateway::sdp::Direction;

    use super::*;

    /// A line on which G.711 was agreed, and the phone's socket.
    fn line(now: Instant) -> (Line, UdpSocket, SocketAddr) {
        let socket = || {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            socket.set_nonblocking(true).unwrap();
            socket
        };
        let (rtp, phone) = (socket(), socket());
        let to = rtp.local_addr().unwrap();
        let ports = PortPair { rtp, rtcp: socket(), rtp_address: to };
        let remote = Some(phone.local_addr().unwrap());
        let agreed = Negotiated {
            codec: Codec::Pcmu,
            payload_type: 0,
            payload_type_received: 0,
            telephone_event: None,
            remote,
            remote_rtcp: remote,
            ptime_ms: 20,
            direction: Direction::SendRecv,
            rtcp_mux: false,
            crypto: None,
        };
        let caller = Caller { address: remote.map(|remote| remote.ip()), is_known: true };
        let mut line = Line::new(ports, caller, mpsc::channel(16).0);
        assert!(line.agree(now, agreed));
        (line, phone, to)
    }

    /// A packet of G.711, of silence or of a sound that no other `nth` has.
    fn packet(nth: u32, is_sound: bool) -> Vec<u8> {
        let [_, _, high, low] = nth.to_be_bytes();
        let [t0, t1, t2, t3] = (nth * 160).to_be_bytes();
        let header = [0x80, 0, high, low, t0, t1, t2, t3, 0, 0, 0, 7];
        let sample = if is_sound { nth as u8 % 64 } else { 0xff };
        [&header[..], &[sample; 160]].concat()
    }

    /// What a phone is heard to say, by tick: it sends a packet before each, speaks in some, and rests while it is silent, if it
    /// `may_rest`.
    fn heard(speaks: &Range<u32>, may_rest: bool) -> Vec<Vec<Frame>> {
        let start = Instant::now();
        let (mut line, phone, _) = line(start);
        let from = phone.local_addr().unwrap();
        let (mut inbox, mut received) = (Inbox::new(start, CALL_DATAGRAMS_MAX), Received::default());
        let ticks = (1..=80).map(|tick| {
            let now = start + TICK * tick;
            inbox.put(now - TICK / 2, from, &packet(tick, speaks.contains(&tick)));
            let mut frames = Vec::new();
            if line.begin_tick(tick.into()) {
                line.take(&inbox, 0..inbox.len(), &mut received);
                inbox.clear();
                let mut frame = SILENCE;
                while line.next_heard(now, &mut frame).is_some() {
                    line.was_heard(&frame, may_rest && frame == SILENCE);
                    frames.push(frame);
                }
            }
            frames
        });
        ticks.collect()
    }

    #[test]
    fn who_speaks_after_a_rest_is_heard_from_the_first_frame_on_a_frame_a_tick() {
        for first in 31..34 {
            let speaks = first..first + 20;
            let (rested, awake) = (heard(&speaks, true), heard(&speaks, false));
            assert!(awake.iter().all(|frames| frames.len() == 1));
            assert!(
                rested[..30].iter().skip(9).all(|frames| matches!(frames.len(), 0 | 3)),
                "in one tick of three"
            );
            let sound = |ticks: &[Vec<Frame>]| {
                ticks
                    .iter()
                    .map(|frames| frames.iter().filter(|frame| **frame != SILENCE).count())
                    .collect::<Vec<_>>()
            };
            assert!(sound(&rested).iter().all(|&count| count <= 1), "of what it says, a frame a tick");
            assert_eq!(
                rested.concat()[..75],
                awake.concat()[..75],
                "nothing is missed, doubled or out of order"
            );
            let begins = |ticks: &[Vec<Frame>]| sound(ticks).iter().position(|&count| count > 0).unwrap();
            let late = begins(&rested).checked_sub(begins(&awake));
            assert!(late.is_some_and(|ticks| ticks <= 2), "up to 40 ms later: {late:?}");
        }
    }

    fn receive(line: &mut Line, inbox: &mut Inbox, received: &mut Received) {
        inbox.clear();
        let own = line.read(inbox);
        line.take(inbox, own, received);
    }

    #[test]
    fn all_that_came_is_read_after_a_rest() {
        let start = Instant::now();
        let (mut line, phone, to) = line(start);
        let (mut inbox, mut received) = (Inbox::new(start, CALL_DATAGRAMS_MAX), Received::default());
        line.was_heard(&SILENCE, true);
        let due: Vec<bool> = (1..=6)
            .map(|tick| {
                phone.send_to(&packet(tick, false), to).unwrap();
                inbox.set_time(Instant::now());
                let is_due = line.begin_tick(tick.into());
                if is_due {
                    receive(&mut line, &mut inbox, &mut received);
                    assert_eq!(received.packets, u64::from(tick));
                    let mut next = || line.next_heard(start + TICK * tick, &mut SILENCE.clone());
                    assert_eq!(std::iter::from_fn(&mut next).count(), 3);
                    line.was_heard(&SILENCE, true);
                }
                is_due
            })
            .collect();
        assert_eq!(due, [false, false, true, false, false, true]);
    }

    #[test]
    fn a_port_that_has_more_is_read_in_the_next_tick_too() {
        let start = Instant::now();
        let (mut line, phone, to) = line(start);
        let (mut inbox, mut received) = (Inbox::new(start, CALL_DATAGRAMS_MAX), Received::default());
        line.was_heard(&SILENCE, true);
        for nth in 0..60 {
            phone.send_to(&packet(nth, false), to).unwrap();
        }
        assert!(line.begin_tick(3));
        receive(&mut line, &mut inbox, &mut received);
        assert!(line.begin_tick(4) && received.packets < 60);
        receive(&mut line, &mut inbox, &mut received);
        assert!(!line.begin_tick(5) && received.packets == 60);
    }

    #[test]
    fn what_a_phone_says_that_may_not_be_heard_waits_for_nothing() {
        let start = Instant::now();
        let (mut line, phone, _) = line(start);
        let (mut inbox, mut received) = (Inbox::new(start, CALL_DATAGRAMS_MAX), Received::default());
        for tick in 1..=60 {
            let now = start + TICK * tick;
            inbox.put(now, phone.local_addr().unwrap(), &packet(tick, true));
            if line.begin_tick(tick.into()) {
                line.take(&inbox, 0..inbox.len(), &mut received);
                inbox.clear();
                let mut frame = SILENCE;
                while line.next_heard(now, &mut frame).is_some() {
                    line.was_heard(&frame, true);
                }
            }
            assert!(line.held.is_empty());
        }
    }

    #[test]
    fn a_call_whose_media_failed_leaves_nothing_behind() {
        let start = Instant::now();
        let (mut line, ..) = line(start);
        line.was_heard(&SILENCE, true);
        for tick in 0..1000 {
            line.begin_tick(tick);
        }
        line.fail();
        assert_eq!((line.unread, line.next_heard(start, &mut SILENCE.clone()).is_none()), (0, true));
        assert!(line.begin_tick(1), "and is read at once if it gets others");
    }
}
