//! The media of one call on the thread of phones: its sockets, its leg, and what it is told beside the room.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use audio_mixer::{Codec, DtmfDetector, Encoder, FRAME_SAMPLES, Frame, Pulled, SILENCE};
use bytes::Bytes;
use tercet_core::{EndpointId, RoomId};
use tercet_sip_gateway::leg::{Arrived, Caller, Dropped, Leg, Numbers};
use tercet_sip_gateway::sdp::Negotiated;
use tokio::sync::mpsc;

use super::socket::{Inbox, PhoneSocket};
use super::thread::RoomKey;
use super::{LineEvent, PortPair};

/// Datagrams read of one socket in a tick: a second of a phone that sends packets of 20 ms.
const DATAGRAMS_A_TICK: usize = 50;

/// Packets of 20 ms that come so far apart come one a tick.
const ONE_A_TICK: std::ops::Range<Duration> = Duration::from_millis(13)..Duration::from_millis(27);

/// Something that is played to a phone: samples at [`audio_mixer::RATE_HZ`].
pub(crate) type Sound = Arc<[i16]>;

/// One call.
pub(super) struct Line {
    rtp: PhoneSocket,
    rtcp: PhoneSocket,
    /// When the last packet came.
    received_at: Option<Instant>,
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

    /// Reads the phone's packets. Of a phone whose packets come one a tick no second one is asked for: that is half of what
    /// reading costs.
    pub(super) fn receive(&mut self, inbox: &mut Inbox, received: &mut Received) {
        for _ in 0..DATAGRAMS_A_TICK {
            let Some((at, arrived)) = self.receive_one(false, inbox, received) else {
                return;
            };
            let apart = self.received_at.replace(at).map(|former| at.saturating_duration_since(former));
            if arrived == Some(Arrived::Sound) && apart.is_some_and(|apart| ONE_A_TICK.contains(&apart)) {
                return;
            }
        }
    }

    /// Reads all that there is, on both ports.
    pub(super) fn receive_all(&mut self, inbox: &mut Inbox, received: &mut Received) {
        for is_rtcp in [false, true] {
            for _ in 0..DATAGRAMS_A_TICK {
                if self.receive_one(is_rtcp, inbox, received).is_none() {
                    break;
                }
            }
        }
    }

    /// Reads a datagram: when it came, and what became of it, if it could be read. `None` if there is none.
    fn receive_one(
        &mut self,
        is_rtcp: bool,
        inbox: &mut Inbox,
        received: &mut Received,
    ) -> Option<(Instant, Option<Arrived>)> {
        let now = inbox.now();
        let socket = if is_rtcp { &self.rtcp } else { &self.rtp };
        // ICMP told of a datagram that did not arrive (Linux, ip(7)): the next one is read.
        let Ok(datagram) = socket.receive(inbox) else {
            return Some((now, None));
        };
        let datagram = datagram?;
        received.packets += 1;
        received.bytes += datagram.bytes.len() as u64;
        let Some(leg) = &mut self.leg else {
            return Some((datagram.at, None));
        };
        let at = datagram.at;
        let arrived = leg.receive(at, datagram.from, datagram.bytes);
        match arrived {
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
        Some((at, Some(arrived)))
    }

    /// The phone's next 20 ms, if it has media.
    pub(super) fn pull(&mut self, now: Instant) -> Option<Pulled> {
        let leg = self.leg.as_mut()?;
        leg.tick();
        let pulled = leg.pull(now);
        self.detect_keys(&pulled.frame);
        Some(pulled)
    }

    /// Its media are beyond repair: the call is to end.
    pub(super) fn fail(&mut self) {
        self.leg = None;
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
        let mut frame = SILENCE;
        if let Some((sound, at)) = &mut self.said {
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
        for sample in &mut frame {
            *sample = music[*at];
            *at = (*at + 1) % music.len();
        }
        Some(frame)
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
