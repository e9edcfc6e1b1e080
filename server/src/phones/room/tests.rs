//! A room's phones, and what crosses to and from them, in virtual time.

use std::time::Duration;

use audio_mixer::{FRAME_SAMPLES, RATE_HZ};
use selector::Level;
use tercet_core::{Encoding, StreamEpoch};
use tercet_protocol::{AudioOrigin, ByOrigin, TrackOrigin};

use super::*;

const TICK: Duration = Duration::from_millis(20);

/// The tones of what is said, in Hz: whole periods in a frame, so that they don't mix.
const TONES_HZ: [f64; 5] = [400.0, 600.0, 900.0, 1300.0, 1700.0];

struct Hall {
    now: Instant,
    room: PhoneRoom,
    ticks: usize,
    /// What each phone heard in the last tick.
    heard: Vec<Frame>,
    crossed: Vec<(WorkerId, Crossing)>,
}

fn source(phone: usize) -> SourceId {
    SourceId(10 + phone as u32)
}

fn endpoint(phone: usize) -> EndpointId {
    EndpointId(phone as u64)
}

fn tone(ticks: usize, hz: f64, peak: f64) -> Frame {
    std::array::from_fn(|n| {
        let time = (ticks * FRAME_SAMPLES + n) as f64 / f64::from(RATE_HZ);
        (peak * (std::f64::consts::TAU * hz * time).sin()) as i16
    })
}

/// The peak of a tone in a frame.
fn peak_of(frame: &Frame, hz: f64) -> f64 {
    let (mut re, mut im) = (0.0, 0.0);
    for (n, sample) in frame.iter().enumerate() {
        let angle = std::f64::consts::TAU * hz * n as f64 / f64::from(RATE_HZ);
        re += f64::from(*sample) * angle.cos();
        im += f64::from(*sample) * angle.sin();
    }
    2.0 * re.hypot(im) / FRAME_SAMPLES as f64
}

impl Hall {
    fn with(phones: usize, slots: usize) -> Hall {
        let now = Instant::now();
        let audio = RoomAudio::with_slots(slots);
        let mut room = PhoneRoom::new(now, "hall".into(), audio.clone());
        for phone in 0..phones {
            let sources = ByOrigin::each(|origin| match origin {
                TrackOrigin::Microphone => source(phone),
                TrackOrigin::Screen => SourceId(100 + phone as u32),
                TrackOrigin::Camera | TrackOrigin::ScreenVideo => SourceId(200 + phone as u32),
            });
            let gates = ByOrigin::each(|_| Gate::Open);
            let (endpoint, room_id, audio) = (endpoint(phone), "hall".into(), audio.clone());
            let (red, video_slots_max, video_kbps_max, is_over_http) = (false, 0, 0, false);
            room.add(&OpenEndpoint {
                endpoint,
                room: room_id,
                audio,
                sources,
                gates,
                red,
                video_slots_max,
                video_kbps_max,
                is_over_http,
            });
        }
        Hall { now, room, ticks: 0, heard: vec![SILENCE; phones], crossed: Vec::new() }
    }

    /// Time passes, in which these phones speak, each its tone, and the others are silent.
    fn run(&mut self, time: Duration, speak: &[usize]) {
        for _ in 0..time.as_millis() / TICK.as_millis() {
            self.now += TICK;
            self.ticks += 1;
            for (phone, hz) in TONES_HZ.into_iter().enumerate().take(self.heard.len()) {
                let frame = if speak.contains(&phone) {
                    // The first is the loudest.
                    tone(self.ticks, hz, 9000.0 - 1000.0 * phone as f64)
                } else {
                    SILENCE
                };
                self.room.hear(self.now, endpoint(phone), &frame, FrameKind::Speech);
            }
            self.room.handle_timeout(self.now);
            self.room.mix(self.now);
            for (phone, heard) in self.heard.iter_mut().enumerate() {
                *heard = self.room.own_frame(endpoint(phone)).unwrap_or(*self.room.shared());
            }
            self.crossed.extend(self.room.outgoing());
        }
    }

    /// Which of the phones' tones a phone hears.
    fn hears(&self, phone: usize) -> Vec<usize> {
        let is_heard = |&other: &usize| peak_of(&self.heard[phone], TONES_HZ[other]) > 1000.0;
        (0..self.heard.len()).filter(is_heard).collect()
    }
}

#[test]
fn phones_hear_each_other_and_never_themselves() {
    let mut hall = Hall::with(4, 3);
    hall.run(Duration::from_secs(3), &[0, 1, 2]);
    assert_eq!(hall.hears(0), [1, 2]);
    assert_eq!(hall.hears(1), [0, 2]);
    assert_eq!(hall.hears(2), [0, 1]);
    assert_eq!(hall.hears(3), [0, 1, 2]);
    for (phone, hz) in TONES_HZ.into_iter().enumerate().take(3) {
        let own = peak_of(&hall.heard[phone], hz);
        assert!(own < 30.0, "{phone} hears {own} of themselves");
    }
}

#[test]
fn whoever_holds_a_slot_hears_the_reserve_in_it() {
    let mut hall = Hall::with(5, 3);
    hall.run(Duration::from_secs(4), &[0, 1, 2, 3]);
    // Three are heard by all; a fourth, the reserve, by each of these in place of themselves.
    let heard_by_all = hall.hears(4);
    assert_eq!(heard_by_all.len(), 3);
    for &speaker in &heard_by_all {
        let heard = hall.hears(speaker);
        assert_eq!(heard.len(), 3, "{speaker} hears {heard:?}");
        assert!(!heard.contains(&speaker));
    }
}

#[test]
fn whoever_is_muted_is_heard_by_nobody_at_once() {
    let mut hall = Hall::with(2, 3);
    hall.room.set_others(vec![WorkerId(7)]);
    hall.run(Duration::from_secs(2), &[0]);
    assert_eq!(hall.hears(1), [0]);
    let events: Vec<_> = hall.room.events().collect();
    assert!(events.contains(&PhoneEvent::Started(endpoint(0))));
    hall.crossed.clear();
    hall.room.set_gate(endpoint(0), Gate::Muted);
    hall.run(Duration::from_millis(40), &[0]);
    assert!(hall.hears(1).is_empty());
    let is_told = |(worker, crossing): &(WorkerId, Crossing)| {
        *worker == WorkerId(7) && matches!(crossing.news, News::Silenced(of) if of == source(0))
    };
    assert!(hall.crossed.iter().any(is_told), "other workers know");
    hall.room.set_gate(endpoint(0), Gate::ListenOnly);
    assert_eq!(hall.room.events().collect::<Vec<_>>(), [PhoneEvent::Ended(endpoint(0))]);
}

#[test]
fn what_a_phone_says_crosses_to_other_workers_as_opus_and_silence_does_not() {
    let mut hall = Hall::with(2, 3);
    hall.room.set_others(vec![WorkerId(0), WorkerId(1)]);
    hall.run(Duration::from_secs(1), &[]);
    let heard = |hall: &Hall| {
        let packets = hall.crossed.iter().filter_map(|(worker, crossing)| match &crossing.news {
            News::Heard(heard) => Some((*worker, heard.packet.clone())),
            _ => None,
        });
        packets.collect::<Vec<_>>()
    };
    assert_eq!(heard(&hall).len(), 0);
    hall.run(Duration::from_secs(2), &[1]);
    let packets = heard(&hall);
    assert!(packets.len() >= 2 * 80, "{}", packets.len());
    let (mut decoder, mut samples) = (Codec::Opus.decoder(), Vec::new());
    for (_, packet) in packets.iter().filter(|(worker, _)| *worker == WorkerId(0)) {
        assert_eq!((packet.source, packet.encoding), (source(1), Encoding::Opus));
        samples.clear();
        decoder.decode(&packet.payload, &mut samples).expect("it is Opus");
        assert_eq!(samples.len(), FRAME_SAMPLES);
    }
    let last: Frame = samples.try_into().expect("a frame");
    assert!(peak_of(&last, TONES_HZ[1]) > 1000.0);
}

#[test]
fn a_speaker_of_another_worker_is_decoded_and_heard_by_all_phones() {
    // What the other worker would send: a browser that speaks.
    let audio = RoomAudio::with_slots(3);
    let mut elsewhere = RoomShard::new(Instant::now(), audio);
    let mut hall = Hall::with(2, 3);
    let (mut encoder, mut payload) = (Codec::Opus.encoder(), Vec::new());
    for seq in 0..150_u64 {
        encoder.encode(&tone(seq as usize, TONES_HZ[4], 9000.0), &mut payload);
        let packet = AudioPacket {
            source: SourceId(77),
            epoch: StreamEpoch(1),
            seq,
            timestamp: (seq * 960) as u32,
            marker: false,
            encoding: Encoding::Opus,
            level: Level::from_dbov(-14),
            voice: None,
            payload: payload.as_slice().into(),
        };
        let arrival = elsewhere.packet(hall.now, &packet);
        if let Some(candidate) = arrival.crossing {
            let heard = HeardPacket { packet, at: hall.now, candidate, pre_roll: arrival.pre_roll };
            hall.room.crossing(hall.now, AudioOrigin::Microphone, News::Heard(Box::new(heard)));
        }
        hall.run(TICK, &[]);
    }
    for phone in 0..2 {
        assert!(peak_of(&hall.heard[phone], TONES_HZ[4]) > 1000.0, "{phone}");
    }
    hall.room.crossing(hall.now, AudioOrigin::Microphone, News::Silenced(SourceId(77)));
    hall.run(Duration::from_millis(60), &[]);
    assert!(peak_of(&hall.heard[0], TONES_HZ[4]) < 30.0);
    hall.run(Duration::from_secs(2), &[]);
    assert!(hall.room.streams.is_empty(), "nobody is decoded who is not heard");
}

#[test]
fn what_is_silent_for_a_second_or_may_not_be_heard_can_wait_and_speech_ends_that() {
    let mut hall = Hall::with(1, 3);
    let loud = tone(1, TONES_HZ[0], 9000.0);
    let can_wait = |hall: &mut Hall, frame: &Frame, kind| {
        hall.now += TICK;
        hall.room.hear(hall.now, endpoint(0), frame, kind)
    };
    for (silence, kind) in [(SILENCE, FrameKind::Speech), (SILENCE, FrameKind::Silence)] {
        let waits = (0..60).map(|_| can_wait(&mut hall, &silence, kind)).collect::<Vec<_>>();
        assert_eq!(waits.iter().position(|&waits| waits), Some(50), "{kind:?}");
        assert!(waits[50..].iter().all(|&waits| waits));
        assert!(!can_wait(&mut hall, &loud, FrameKind::Speech), "it speaks");
    }
    hall.room.set_gate(endpoint(0), Gate::Muted);
    let waits = (0..60).map(|_| can_wait(&mut hall, &loud, FrameKind::Speech)).collect::<Vec<_>>();
    assert!(!waits[0] && waits[59], "muted");
    hall.room.set_gate(endpoint(0), Gate::Open);
    assert!(!can_wait(&mut hall, &loud, FrameKind::Speech), "and heard again");
}
