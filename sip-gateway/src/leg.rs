//! The media of one call (RFC 3550, RFC 3551): a phone's datagrams in, sound and keys out; payloads in, datagrams out.
//!
//! Sans-IO, as [`crate::sdp`] is: whoever owns the sockets calls [`Leg::receive`] with what arrives, [`Leg::pull`] each 20 ms for
//! the phone's sound, and [`Leg::packet`] for what it is to hear. RTP and RTCP may share a port or not.
//!
//! ```text
//! datagram ─▶ Latch ─▶ Protection ─┬─▶ KeyEvents ─▶ Arrived::Key
//!             is it    SRTP        └─▶ JitterBuffer ─▶ pull: a frame of the mix
//!             theirs?
//! payload ─▶ header ─▶ Protection ─▶ datagram, to where theirs come from
//! ```

mod caller;
mod events;
mod latch;
mod protection;
mod report;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use audio_mixer::{Digit, Frame, FrameKind, JitterBuffer, Packet};
use bytes::{Bytes, BytesMut};
use rtc_rtp::header::Header;
use rtc_shared::marshal::{Marshal, Unmarshal};

use crate::sdp::Negotiated;
pub use caller::Caller;
use events::KeyEvents;
use latch::Latch;
use protection::Protection;
use report::{Heard, SenderClock, Sent};

/// RFC 3550, section 6.2: at least so often, and not in step with others.
const REPORT_INTERVAL: Duration = Duration::from_secs(5);

/// RFC 5761, section 4: of what comes on a port for both, RTCP has packet types 64 to 95 where RTP has its payload type.
const RTCP_TYPES: std::ops::Range<u8> = 64..96;

/// No phone sends longer datagrams.
const DATAGRAM_BYTES_MAX: usize = 1500;

/// So much is sent to an address that a stranger has named and nothing has come from: a second, which opens what waits for a first
/// packet, and hurts nobody who never asked.
const UNPROVEN_PACKETS_MAX: u32 = 50;

/// Numbers that nobody can guess (RFC 3550, section 5.1).
#[derive(Clone, Copy, Debug)]
pub struct Numbers {
    /// Of what we send.
    pub ssrc: u32,
    /// The first sequence number; of its upper half none is taken, so that the first roll-over is far.
    pub sequence_number: u16,
    /// The first timestamp.
    pub timestamp: u32,
}

/// What became of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrived {
    /// Sound, for [`Leg::pull`].
    Sound,
    /// A key was pressed (RFC 4733).
    Key(Digit),
    /// Of use to the leg alone.
    Report,
    /// The phone says that it sends no more (RTCP BYE).
    Goodbye,
    /// A packet of an event that was told before, or of comfort noise.
    Nothing,
    /// It goes no further.
    Dropped(Dropped),
}

/// Why a datagram goes no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dropped {
    /// Not RTP, or not RTCP.
    Malformed,
    /// It comes from elsewhere than the phone's packets do.
    Stranger,
    /// It was not sealed with the phone's key, or was there before.
    Unsealed,
    /// A payload type that was not agreed on.
    PayloadType,
    /// The call is on hold: the phone is not to be heard.
    OnHold,
}

impl Dropped {
    /// All reasons.
    pub const ALL: [Dropped; 5] =
        [Dropped::Malformed, Dropped::Stranger, Dropped::Unsealed, Dropped::PayloadType, Dropped::OnHold];

    /// The reason as a metric's label.
    pub fn as_str(self) -> &'static str {
        match self {
            Dropped::Malformed => "malformed",
            Dropped::Stranger => "stranger",
            Dropped::Unsealed => "unsealed",
            Dropped::PayloadType => "payload_type",
            Dropped::OnHold => "on_hold",
        }
    }
}

/// The media of one call.
pub struct Leg {
    agreed: Negotiated,
    latch: Latch,
    /// Where RTCP comes from, if not from where RTP does.
    report_latch: Latch,
    protection: Option<Protection>,
    jitter: JitterBuffer,
    keys: KeyEvents,
    header: Header,
    sent: Sent,
    /// Nothing was sent just before: the next packet begins a talkspurt (RFC 3551, section 4.1).
    is_after_pause: bool,
    /// How much may still be sent to where nothing has come from.
    unproven_left: u32,
    remote_ssrc: Option<u32>,
    clock: Option<SenderClock>,
    heard_at: Instant,
    report_at: Instant,
}

impl Leg {
    /// For what was agreed on with this caller. `None` where the keys don't fit their suite.
    pub fn new(now: Instant, agreed: Negotiated, caller: Caller, numbers: Numbers) -> Option<Leg> {
        let protection = match &agreed.crypto {
            Some(crypto) => Some(Protection::new(crypto)?),
            None => None,
        };
        let Numbers { ssrc, timestamp, .. } = numbers;
        let header = Header {
            version: 2,
            payload_type: agreed.payload_type,
            sequence_number: numbers.sequence_number >> 1,
            timestamp,
            ssrc,
            ..Header::default()
        };
        Some(Leg {
            latch: Latch::new(agreed.remote, caller),
            report_latch: Latch::new(agreed.remote_rtcp, caller),
            protection,
            jitter: JitterBuffer::new(agreed.codec.decoder(), agreed.codec.clock_rate_hz()),
            keys: KeyEvents::default(),
            header,
            sent: Sent { ssrc, timestamp, packets: 0, octets: 0 },
            is_after_pause: true,
            unproven_left: UNPROVEN_PACKETS_MAX,
            remote_ssrc: None,
            clock: None,
            heard_at: now,
            report_at: now + REPORT_INTERVAL / 2,
            agreed,
        })
    }

    /// Something else was agreed on, in the same call: hold, another codec, another address. Returns whether that is possible:
    /// if not, what was agreed on before holds.
    pub fn agree(&mut self, now: Instant, agreed: Negotiated) -> bool {
        match (&agreed.crypto, &mut self.protection) {
            (None, protection) => *protection = None,
            (Some(crypto), Some(protection)) => {
                if !protection.renew(crypto) {
                    return false;
                }
            }
            (Some(crypto), protection @ None) => {
                *protection = Protection::new(crypto);
                if protection.is_none() {
                    return false;
                }
            }
        }
        self.latch.say(agreed.remote);
        self.report_latch.say(agreed.remote_rtcp);
        if agreed.codec != self.agreed.codec {
            self.jitter.set_decoder(agreed.codec.decoder(), agreed.codec.clock_rate_hz());
        }
        if !self.agreed.direction.receives() {
            // Who was on hold has been silent because of that.
            self.heard_at = now;
        }
        self.header.payload_type = agreed.payload_type;
        self.agreed = agreed;
        true
    }

    /// What holds.
    pub fn agreed(&self) -> &Negotiated {
        &self.agreed
    }

    /// A datagram arrived, on either port.
    pub fn receive(&mut self, now: Instant, from: SocketAddr, datagram: &[u8]) -> Arrived {
        match datagram {
            _ if datagram.len() > DATAGRAM_BYTES_MAX => Arrived::Dropped(Dropped::Malformed),
            [128..192, kind, ..] if RTCP_TYPES.contains(&(kind & 0x7f)) => {
                self.receive_report(now, from, datagram)
            }
            [128..192, ..] => self.receive_rtp(now, from, datagram),
            _ => Arrived::Dropped(Dropped::Malformed),
        }
    }

    fn receive_rtp(&mut self, now: Instant, from: SocketAddr, datagram: &[u8]) -> Arrived {
        let mut rest = datagram;
        let Ok(header) = Header::unmarshal(&mut rest) else {
            return Arrived::Dropped(Dropped::Malformed);
        };
        if !self.latch.accepts(now, from) {
            return Arrived::Dropped(Dropped::Stranger);
        }
        let header_bytes = datagram.len() - rest.len();
        let opened;
        let payload = match &mut self.protection {
            None => rest,
            Some(protection) => {
                let Some(packet) = protection.open_rtp(datagram, header.ssrc) else {
                    return Arrived::Dropped(Dropped::Unsealed);
                };
                opened = packet;
                opened.get(header_bytes..).unwrap_or_default()
            }
        };
        let Some(payload) = without_padding(&header, payload) else {
            return Arrived::Dropped(Dropped::Malformed);
        };
        let kind = header.payload_type;
        let is_event = self.agreed.telephone_event.is_some_and(|event| event.payload_type == kind);
        if !is_event && kind != self.agreed.payload_type_received && kind != COMFORT_NOISE {
            return Arrived::Dropped(Dropped::PayloadType);
        }
        self.latch.take(now, from);
        self.heard_at = now;
        if self.remote_ssrc.replace(header.ssrc).is_some_and(|former| former != header.ssrc) {
            self.jitter.reset();
            self.keys.restart();
        }
        // Of what has no sound the buffer has to know too, or it would miss it.
        let has_sound = !is_event && kind != COMFORT_NOISE && self.agreed.direction.receives();
        let sound = if has_sound { payload } else { &[] };
        let packet = Packet { sequence: header.sequence_number, timestamp: header.timestamp, payload: sound };
        self.jitter.push(now, &packet);
        if is_event {
            return self.keys.packet(header.timestamp, payload).map_or(Arrived::Nothing, Arrived::Key);
        }
        if kind == COMFORT_NOISE {
            return Arrived::Nothing;
        }
        if !has_sound {
            return Arrived::Dropped(Dropped::OnHold);
        }
        Arrived::Sound
    }

    fn receive_report(&mut self, now: Instant, from: SocketAddr, datagram: &[u8]) -> Arrived {
        let latch = if self.agreed.rtcp_mux { &mut self.latch } else { &mut self.report_latch };
        if !latch.accepts(now, from) {
            return Arrived::Dropped(Dropped::Stranger);
        }
        let opened;
        let report = match &mut self.protection {
            None => datagram,
            Some(protection) => {
                let Some(report) = protection.open_rtcp(datagram) else {
                    return Arrived::Dropped(Dropped::Unsealed);
                };
                opened = report;
                &opened[..]
            }
        };
        let Some((clock, is_goodbye)) = report::read(now, report) else {
            return Arrived::Dropped(Dropped::Malformed);
        };
        latch.take(now, from);
        self.clock = clock.or(self.clock);
        if is_goodbye { Arrived::Goodbye } else { Arrived::Report }
    }

    /// The phone's next 20 ms, in place of what is in `frame`, and what they are.
    pub fn pull(&mut self, now: Instant, frame: &mut Frame) -> FrameKind {
        self.jitter.pull(now, frame)
    }

    /// What the network does to the phone's sound.
    pub fn jitter(&self) -> &JitterBuffer {
        &self.jitter
    }

    /// 20 ms pass: call it once a tick, before [`Leg::packet`].
    pub fn tick(&mut self) {
        let ticks = self.agreed.codec.clock_rate_hz() / 50;
        self.header.timestamp = self.header.timestamp.wrapping_add(ticks);
    }

    /// Where the phone is to hear something, if it is and if it may.
    fn destination(&self, now: Instant) -> Option<SocketAddr> {
        let may_send = self.agreed.direction.sends() && (self.latch.is_proven() || self.unproven_left > 0);
        self.latch.remote(now).filter(|_| may_send)
    }

    /// Whether the phone is to hear anything.
    pub fn sends(&self, now: Instant) -> bool {
        self.destination(now).is_some()
    }

    /// The datagram for a payload of 20 ms, and where it goes. `None` if the phone is to hear nothing.
    pub fn packet(&mut self, now: Instant, payload: &Bytes, datagram: &mut BytesMut) -> Option<SocketAddr> {
        let Some(remote) = self.destination(now) else {
            self.is_after_pause = true;
            return None;
        };
        if !self.latch.is_proven() {
            self.unproven_left -= 1;
        }
        self.header.marker = std::mem::take(&mut self.is_after_pause);
        self.header.sequence_number = self.header.sequence_number.wrapping_add(1);
        let header_bytes = rtc_shared::marshal::MarshalSize::marshal_size(&self.header);
        datagram.clear();
        datagram.resize(header_bytes, 0);
        self.header.marshal_to(datagram).ok()?;
        datagram.extend_from_slice(payload);
        if let Some(protection) = &mut self.protection {
            *datagram = protection.seal_rtp(datagram)?;
        }
        self.sent.packets = self.sent.packets.wrapping_add(1);
        self.sent.octets = self.sent.octets.wrapping_add(payload.len() as u32);
        Some(remote)
    }

    /// A report to the phone, if one is due, and where it goes. `wall` is the time since 1970, `spread` gives a random number of 0 to 1:
    /// reports of many calls are not to come at once (RFC 3550, section 6.3.5).
    pub fn report(
        &mut self,
        now: Instant,
        wall: Duration,
        spread: impl FnOnce() -> f32,
    ) -> Option<(BytesMut, SocketAddr)> {
        if now < self.report_at {
            return None;
        }
        self.report_at = now + REPORT_INTERVAL.mul_f32(0.5 + spread().clamp(0.0, 1.0));
        let latch = if self.agreed.rtcp_mux { &self.latch } else { &self.report_latch };
        // Whoever hears nothing has nothing reported either, wherever they say that reports go.
        let remote = latch.remote(now).filter(|_| self.latch.is_proven())?;
        let heard = self.remote_ssrc.map(|ssrc| self.heard(ssrc));
        let sent = Sent { timestamp: self.header.timestamp, ..self.sent };
        let mut datagram = report::report(now, wall, sent, heard, self.clock)?;
        if let Some(protection) = &mut self.protection {
            datagram = protection.seal_rtcp(&datagram)?;
        }
        Some((datagram, remote))
    }

    fn heard(&mut self, ssrc: u32) -> Heard {
        Heard { ssrc, report: self.jitter.report() }
    }

    /// When the phone was last heard, sound or not; or began to be expected.
    pub fn heard_at(&self) -> Instant {
        self.heard_at
    }
}

/// RFC 3389: its static payload type. We make the comfort ourselves.
const COMFORT_NOISE: u8 = 13;

/// RFC 3550, section 5.1: the last byte of the padding says how long it is.
fn without_padding<'a>(header: &Header, payload: &'a [u8]) -> Option<&'a [u8]> {
    if !header.padding {
        return Some(payload);
    }
    let padding = usize::from(*payload.last()?);
    payload.get(..payload.len().checked_sub(padding)?).filter(|_| padding > 0)
}

#[cfg(test)]
mod tests;
