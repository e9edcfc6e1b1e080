//! Several selectors of one room, each with packets of its own, against one that sees them all.

use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::*;
use selector::{Candidate, Level, Observation, Params, Positions, Selector, SourceId, Standing};

/// A room whose sources send to different selectors.
struct Split {
    selectors: Vec<Selector>,
    /// Claims under way: when they arrive, and where.
    under_way: Vec<(Duration, usize, Candidate)>,
    delay: Duration,
    crossings: usize,
}

impl Split {
    fn new(count: usize, params: &Params, delay: Duration) -> Split {
        Split {
            selectors: (0..count).map(|_| Selector::new(params.clone())).collect(),
            under_way: Vec::new(),
            delay,
            crossings: 0,
        }
    }

    fn home(&self, source: SourceId) -> usize {
        source.0 as usize % self.selectors.len()
    }

    fn packet(&mut self, now: Duration, source: SourceId, level: Level, voice: Option<bool>) {
        self.deliver(now);
        let home = self.home(source);
        let selector = &mut self.selectors[home];
        let candidate = selector.judge(now, source, level, voice);
        selector.rank(now, &candidate);
        if let Some(candidate) = selector.with_claim(&candidate) {
            self.crossings += 1;
            for other in (0..self.selectors.len()).filter(|&other| other != home) {
                self.under_way.push((now + self.delay, other, candidate));
            }
        }
        self.deliver(now);
    }

    fn deliver(&mut self, now: Duration) {
        let under_way = std::mem::take(&mut self.under_way);
        for (at, other, candidate) in under_way {
            if at <= now {
                self.selectors[other].rank(now, &candidate);
            } else {
                self.under_way.push((at, other, candidate));
            }
        }
    }

    fn silence(&mut self, source: SourceId) {
        self.under_way.retain(|(.., candidate)| candidate.source != source);
        for selector in &mut self.selectors {
            selector.remove(source);
        }
    }

    fn positions(&mut self, now: Duration) -> Vec<Positions> {
        for selector in &mut self.selectors {
            selector.tick(now);
        }
        self.selectors.iter().map(Selector::positions).collect()
    }
}

#[derive(Clone, Debug)]
enum Event {
    Packet {
        source: u32,
        level_dbov: i8,
        voice: Option<bool>,
    },
    /// Everybody sends frames, as in a conversation.
    Talk {
        loudness_dbov: Vec<i8>,
        frames: usize,
    },
    Silence {
        source: u32,
    },
    Pass {
        ms: u64,
    },
}

const SOURCES: u32 = 9;

/// How the level of speech moves, in dB: a vowel that rises fast and falls slowly, and a closure.
const SYLLABLE_DB: [i8; 10] = [-6, 0, 0, -1, -2, -4, -6, -9, -18, -18];

fn events() -> impl Strategy<Value = Vec<Event>> {
    let packet = (0..SOURCES, -127i8..=0, any::<Option<bool>>())
        .prop_map(|(source, level_dbov, voice)| Event::Packet { source, level_dbov, voice });
    let loudness = prop_oneof![Just(-80i8), -50i8..-10];
    let talk = (prop::collection::vec(loudness, SOURCES as usize), 1usize..80)
        .prop_map(|(loudness_dbov, frames)| Event::Talk { loudness_dbov, frames });
    let silence = (0..SOURCES).prop_map(|source| Event::Silence { source });
    let pass = (0u64..3_000).prop_map(|ms| Event::Pass { ms });
    prop::collection::vec(prop_oneof![4 => packet, 4 => talk, 1 => silence, 1 => pass], 1..40)
}

/// The packets of some events: time, source, level and voice bit; no level is silence.
fn packets(events: &[Event]) -> Vec<(Duration, SourceId, Option<Level>, Option<bool>)> {
    let (mut now, mut packets) = (Duration::ZERO, Vec::new());
    for event in events {
        match event {
            Event::Packet { source, level_dbov, voice } => {
                now += Duration::from_millis(7);
                packets.push((now, SourceId(*source), Some(Level::from_dbov(*level_dbov)), *voice));
            }
            Event::Talk { loudness_dbov, frames } => {
                for frame in 0..*frames {
                    now += Duration::from_millis(20);
                    for (source, &loudness) in loudness_dbov.iter().enumerate() {
                        let moved = if loudness > -60 { SYLLABLE_DB[(frame + source) % 10] } else { 0 };
                        let level = Level::from_dbov(loudness + moved);
                        packets.push((now, SourceId(source as u32), Some(level), Some(true)));
                    }
                }
            }
            Event::Silence { source } => packets.push((now, SourceId(*source), None, None)),
            Event::Pass { ms } => now += Duration::from_millis(*ms),
        }
    }
    packets
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn selectors_that_tell_each_other_have_the_positions_of_one_that_sees_everything(
        events in events(),
        slots in 1usize..=8,
        count in 2usize..=5,
    ) {
        let params = Params::with_slots(slots);
        let mut flat = Selector::new(params.clone());
        let mut split = Split::new(count, &params, Duration::ZERO);
        for (now, source, level, voice) in packets(&events) {
            match level {
                Some(level) => {
                    flat.observe(now, source, Observation::Packet { level, voice });
                    split.packet(now, source, level, voice);
                }
                None => {
                    flat.remove(source);
                    split.silence(source);
                }
            }
            flat.tick(now);
            for positions in split.positions(now) {
                prop_assert_eq!(&positions, &flat.positions(), "at {:?}", now);
            }
        }
    }

    #[test]
    fn selectors_that_hear_of_each_other_late_come_to_agree(
        events in events(),
        count in 2usize..=5,
        delay_ms in 1u64..200,
    ) {
        let mut split = Split::new(count, &Params::with_slots(3), Duration::from_millis(delay_ms));
        let packets = packets(&events);
        for &(now, source, level, voice) in &packets {
            match level {
                Some(level) => split.packet(now, source, level, voice),
                None => split.silence(source),
            }
        }
        // Whatever they disagreed about, three who go on talking end it.
        let mut now = packets.last().map_or(Duration::ZERO, |packet| packet.0);
        for frame in 0..400usize {
            now += Duration::from_millis(20);
            for source in 0..SOURCES {
                let loudness = if source < 3 { -25 + SYLLABLE_DB[frame % 10] } else { -80 };
                split.packet(now, SourceId(source), Level::from_dbov(loudness), Some(true));
            }
        }
        let all = split.positions(now);
        for positions in &all {
            prop_assert_eq!(positions, &all[0]);
        }
        let talkers: BTreeSet<SourceId> = all[0][..3].iter().flatten().copied().collect();
        prop_assert_eq!(talkers, BTreeSet::from([SourceId(0), SourceId(1), SourceId(2)]));
    }
}

#[test]
fn what_crosses_is_k_plus_one_streams_however_many_selectors_there_are() {
    for count in [2, 8, 32] {
        let mut split = Split::new(count, &Params::with_slots(3), Duration::from_millis(5));
        let frames = 500;
        for frame in 0..frames {
            let now = Duration::from_millis(20) * (frame as u32 + 1);
            for source in 0..64 {
                let loudness = -20 - (source % 40) as i8 + SYLLABLE_DB[(frame + source as usize) % 10];
                split.packet(now, SourceId(source), Level::from_dbov(loudness), Some(true));
            }
        }
        let streams = split.crossings as f64 / frames as f64;
        // A few more where two take a position within the delay.
        assert!((3.9..5.0).contains(&streams), "{count} selectors: {streams} streams cross");
    }
}

#[test]
fn a_standing_crosses_with_its_source() {
    let mut split = Split::new(2, &Params::with_slots(1), Duration::ZERO);
    let pinned = SourceId(1);
    let home = split.home(pinned);
    split.selectors[home].set_standing(pinned, Some(Standing::Pinned));
    let ms = Duration::from_millis;
    split.packet(ms(20), SourceId(0), Level::from_dbov(-20), None);
    split.packet(ms(40), pinned, Level::from_dbov(-90), None);
    split.packet(ms(60), SourceId(0), Level::from_dbov(-10), None);
    for positions in split.positions(ms(60)) {
        assert_eq!(positions[0], Some(pinned));
    }
}
