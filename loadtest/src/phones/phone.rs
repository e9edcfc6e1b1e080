//! One phone's sound: packets of the server's in, packets of silence out, each 20 ms.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use audio_mixer::{Codec, ComfortNoise, Frame, SILENCE};
use bytes::{Bytes, BytesMut};
use rtc_rtp::header::Header;
use rtc_shared::marshal::Unmarshal;
use tercet_sip_gateway::leg::{Caller, Leg, Numbers};
use tercet_sip_gateway::sdp::Negotiated;

use super::counts::CallCounts;
use super::ear::Ear;
use crate::StreamCount;
use crate::counts::rtp_header;

/// The noise of a line on which nobody says a word: nobody takes it for speech.
const NOISE_DBOV: i8 = -70;

/// A second of it, over and over.
const SILENCE_PACKETS: usize = 50;

/// One phone in a call.
pub(super) struct Phone {
    pub(super) remote: SocketAddr,
    leg: Leg,
    clock_hz: u32,
    stream: Option<StreamCount>,
    /// The latest packet: when it came, and its timestamp.
    latest: Option<(Instant, u32)>,
    /// Of those that decode what they hear.
    ear: Option<Ear>,
}

/// What a phone says that says nothing: payloads of 20 ms, to be sent over and over.
pub(crate) fn silence(codec: Codec) -> Vec<Bytes> {
    let (mut noise, mut encoder) = (ComfortNoise::new(NOISE_DBOV, 7), codec.encoder());
    let frames: Vec<Frame> = (0..SILENCE_PACKETS).map(|_| noise.frame()).collect();
    let mut packet = Vec::new();
    let packets = [&frames[..], &frames].concat().into_iter().map(|frame| {
        encoder.encode(&frame, &mut packet);
        Bytes::copy_from_slice(&packet)
    });
    // An encoder that begins is in another state than one that goes on: where its packets began anew, decoders would click.
    packets.skip(SILENCE_PACKETS).collect()
}

/// Whom it calls it knows.
const SERVER: Caller = Caller { address: None, is_known: true };

impl Phone {
    /// For what was agreed on. `None` if there is nowhere to send.
    pub(super) fn new(now: Instant, agreed: Negotiated, opens: bool) -> Option<Phone> {
        let (remote, clock_hz) = (agreed.remote?, agreed.codec.clock_rate_hz());
        let numbers =
            Numbers { ssrc: rand::random(), sequence_number: rand::random(), timestamp: rand::random() };
        let leg = Leg::new(now, agreed, SERVER, numbers)?;
        let ear = opens.then(Ear::default);
        Some(Phone { remote, leg, clock_hz, stream: None, latest: None, ear })
    }

    pub(super) fn codec(&self) -> Codec {
        self.leg.agreed().codec
    }

    /// Something came from the server at that time.
    pub(super) fn receive(&mut self, at: Instant, datagram: &[u8], counts: &mut CallCounts) {
        // Reports come on the same port.
        if rtp_header(datagram).is_none() {
            return;
        }
        let mut rest = datagram;
        let Ok(header) = Header::unmarshal(&mut rest) else { return };
        counts.packets_out += 1;
        match &mut self.stream {
            Some(stream) => stream.note(header.sequence_number),
            None => self.stream = Some(StreamCount::new(header.sequence_number)),
        }
        let latest = self.latest.replace((at, header.timestamp));
        if let Some(difference) = latest.and_then(|latest| self.difference(latest, at, header.timestamp)) {
            counts.jitter.record(difference);
        }
        if self.ear.is_some() {
            self.leg.receive(at, self.remote, datagram);
        }
    }

    /// How much further apart two packets in a row came than they were sent (RFC 3550, section 6.4.1); `None` for one that is
    /// older than the one before.
    fn difference(&self, former: (Instant, u32), at: Instant, timestamp: u32) -> Option<Duration> {
        let (former_at, former_timestamp) = former;
        let ticks = timestamp.wrapping_sub(former_timestamp);
        (ticks <= u32::MAX / 2).then(|| {
            let sent = Duration::from_secs_f64(f64::from(ticks) / f64::from(self.clock_hz));
            at.saturating_duration_since(former_at).abs_diff(sent)
        })
    }

    /// 20 ms pass: hears what there is, if it opens what comes, and says nothing. Returns where the datagram goes.
    pub(super) fn tick(
        &mut self,
        now: Instant,
        payload: &Bytes,
        datagram: &mut BytesMut,
    ) -> Option<SocketAddr> {
        if let Some(ear) = &mut self.ear {
            let mut frame = SILENCE;
            self.leg.pull(now, &mut frame);
            ear.hear(&frame);
        }
        self.leg.tick();
        self.leg.packet(now, payload, datagram)
    }

    /// Forgets what was counted.
    pub(super) fn start_counting(&mut self) {
        self.stream = None;
        if let Some(ear) = &mut self.ear {
            *ear = Ear::default();
        }
    }

    /// Adds what was counted.
    pub(super) fn add_to(&self, counts: &mut CallCounts) {
        counts.phones += 1;
        let received = self.stream.as_ref().map_or(0, StreamCount::received);
        let least = counts.packets_of_a_phone_min.unwrap_or(u64::MAX);
        counts.packets_of_a_phone_min = Some(least.min(received));
        if let Some(stream) = &self.stream {
            counts.streams.add(stream);
        }
        if let Some(ear) = &self.ear {
            ear.add_to(&mut counts.heard);
        }
    }
}

#[cfg(test)]
mod tests {
    use audio_mixer::level_dbov;
    use tercet_sip_gateway::sdp::Direction;

    use super::*;

    fn phone(codec: Codec, opens: bool) -> Phone {
        let remote = Some(SocketAddr::from(([127, 0, 0, 1], 40_000)));
        let agreed = Negotiated {
            codec,
            payload_type: codec.static_payload_type().unwrap_or(96),
            payload_type_received: codec.static_payload_type().unwrap_or(96),
            telephone_event: None,
            remote,
            remote_rtcp: remote,
            ptime_ms: 20,
            direction: Direction::SendRecv,
            rtcp_mux: true,
            crypto: None,
        };
        Phone::new(Instant::now(), agreed, opens).unwrap()
    }

    /// The header of a packet of payload type 0, and as much sound as it takes.
    fn packet(sequence: u16, timestamp: u32) -> Vec<u8> {
        let header = [&[0x80, 0][..], &sequence.to_be_bytes(), &timestamp.to_be_bytes(), &[0, 0, 0, 9]];
        [header.concat(), vec![0xd5; 160]].concat()
    }

    #[test]
    fn what_it_says_is_silence_in_every_codec_and_where_it_begins_anew_too() {
        for codec in Codec::ALL {
            let (mut decoder, silence) = (codec.decoder(), silence(codec));
            let levels = silence.iter().cycle().take(SILENCE_PACKETS * 3).map(|payload| {
                let mut samples = Vec::new();
                decoder.decode(payload, &mut samples).unwrap();
                assert_eq!(samples.len(), 320, "{codec:?}");
                level_dbov(&samples)
            });
            let loudest = levels.skip(SILENCE_PACKETS / 2).max();
            assert!(loudest < Some(-65), "{codec:?}: {loudest:?} dBov");
        }
    }

    #[test]
    fn each_20_ms_a_packet_goes_to_where_the_answer_said() {
        let (mut phone, mut datagram) = (phone(Codec::Pcmu, false), BytesMut::new());
        let mut headers = Vec::new();
        for payload in silence(Codec::Pcmu).iter().take(3) {
            assert_eq!(phone.tick(Instant::now(), payload, &mut datagram), Some(phone.remote));
            assert_eq!(datagram.len(), 12 + 160);
            headers.push(Header::unmarshal(&mut &datagram[..]).unwrap());
        }
        assert!(headers.iter().all(|header| header.payload_type == 0));
        let steps = headers.windows(2).map(|it| {
            let [a, b] = it else { unreachable!("windows are of two") };
            (b.sequence_number.wrapping_sub(a.sequence_number), b.timestamp.wrapping_sub(a.timestamp))
        });
        assert_eq!(steps.collect::<Vec<_>>(), [(1, 160), (1, 160)]);
    }

    #[test]
    fn loss_and_lateness_are_counted_to_the_packet() {
        let (mut phone, mut counts) = (phone(Codec::Pcmu, false), CallCounts::default());
        let began = Instant::now();
        // The fourth is missing, the fifth comes 5 ms late.
        for (n, late_ms) in [(0, 0), (1, 0), (2, 0), (4, 5)] {
            let at = began + Duration::from_millis(20 * n + late_ms);
            phone.receive(at, &packet(65_534_u16.wrapping_add(n as u16), 160 * n as u32), &mut counts);
        }
        phone.receive(began, &[0x80, 200, 0, 1, 0, 0, 0, 9, 0, 0, 0, 0], &mut counts);
        phone.add_to(&mut counts);
        assert_eq!((counts.packets_out, counts.streams.expected, counts.streams.lost()), (4, 5, 1));
        assert_eq!((counts.jitter.count(), counts.jitter.max()), (3, Duration::from_millis(5)));
        assert_eq!((counts.phones, counts.packets_of_a_phone_min), (1, Some(4)));
    }

    #[test]
    fn a_phone_that_opens_what_comes_hears_it() {
        let (mut phone, mut counts) = (phone(Codec::Pcmu, true), CallCounts::default());
        let (began, mut datagram) = (Instant::now(), BytesMut::new());
        let tone: Vec<u8> = (0..160).map(|n| if n % 16 < 8 { 0x90 } else { 0x10 }).collect();
        for n in 0..50_u16 {
            let at = began + Duration::from_millis(20) * u32::from(n);
            let packet = [&packet(n, 160 * u32::from(n))[..12], &tone].concat();
            phone.receive(at, &packet, &mut counts);
            phone.tick(at, &Bytes::from_static(&[0xff; 160]), &mut datagram);
        }
        phone.add_to(&mut counts);
        assert_eq!(counts.heard.frames, 50);
        assert!(counts.heard.with_sound > 40, "{:?}", counts.heard);
        phone.start_counting();
        let mut counts = CallCounts::default();
        phone.add_to(&mut counts);
        assert_eq!((counts.heard.frames, counts.packets_of_a_phone_min), (0, Some(0)));
    }
}
