//! The dominant speaker of Volfin and Cohen, "Dominant Speaker Identification for Multipoint
//! Videoconferencing" (Computer Speech and Language 27, 2013), as mediasoup and Jitsi use it.

use std::collections::BTreeMap;

use super::Rule;
use crate::trace::Packet;

/// Decisions are made so often.
const DECISION_US: u64 = 300_000;
/// A level lasts for so long; a source without packets is silent.
const FRAME_US: u64 = 20_000;

// The paper's parameters, in its notation: sub-bands a frame N1, frames a medium block N2, medium blocks a
// long block N3; thresholds k1 to k3 above which a part counts as active; lambda and p of the score.
const N1: u32 = 13;
const N2: usize = 5;
const N3: usize = 10;
const K1: f64 = 7.0;
const MEDIUM_THRESHOLD: u32 = 7;
const LONG_THRESHOLD: u32 = 4;
const P: f64 = 0.5;
const LAMBDA_IMMEDIATE: f64 = 0.78;
const LAMBDA_MEDIUM: f64 = 24.0;
const LAMBDA_LONG: f64 = 47.0;
/// C1 to C3: by how much a challenger's scores have to exceed those of the dominant speaker.
const CHALLENGE: [f64; 3] = [3.0, 2.0, 0.0];
const MINIMUM_SCORE: f64 = 1e-10;

struct Speaker {
    /// The last N2 x N3 frames' levels above the noise, the newest last.
    frames: Vec<u32>,
    level: u32,
    floor: f64,
    heard_us: u64,
    scores: [f64; 3],
}

impl Speaker {
    fn new() -> Speaker {
        Speaker { frames: vec![0; N2 * N3], level: 0, floor: 0.0, heard_us: 0, scores: [MINIMUM_SCORE; 3] }
    }

    fn take_frame(&mut self, now_us: u64) {
        if now_us > self.heard_us + 2 * FRAME_US {
            self.level = 0;
        }
        // The floor follows downward at once and upward slowly.
        let level = f64::from(self.level);
        self.floor = if level < self.floor { level } else { self.floor + (level - self.floor) * 0.002 };
        // The part of N1 sub-bands that is above the noise: levels stand in for the spectrum.
        let above = (level - self.floor - K1).max(0.0) * f64::from(N1) / 60.0;
        self.frames.remove(0);
        self.frames.push((above.ceil() as u32).min(N1));
    }

    fn score(&mut self) {
        let immediate = self.frames[self.frames.len() - 1];
        let blocks: Vec<u32> = self
            .frames
            .chunks_exact(N2)
            .map(|block| block.iter().filter(|&&above| above > 0).count() as u32)
            .collect();
        let medium = blocks[blocks.len() - 1];
        let long = blocks.iter().filter(|&&active| active >= LONG_THRESHOLD).count() as u32;
        self.scores = [
            speech_score(immediate, N1, LAMBDA_IMMEDIATE),
            speech_score(medium.min(MEDIUM_THRESHOLD), N2 as u32, LAMBDA_MEDIUM),
            speech_score(long, N3 as u32, LAMBDA_LONG),
        ];
    }
}

/// The log-likelihood ratio of speech, given that `active` of `parts` are active (the paper's equation 9).
fn speech_score(active: u32, parts: u32, lambda: f64) -> f64 {
    let (active_f, parts_f) = (f64::from(active), f64::from(parts));
    let binomial: f64 = (1..=active).map(|n| (f64::from(parts - active + n) / f64::from(n)).ln()).sum();
    let score = binomial + active_f * P.ln() + (parts_f - active_f) * (1.0 - P).ln() - lambda.ln()
        + lambda * active_f;
    score.max(MINIMUM_SCORE)
}

/// The last N who were dominant; each decision finds one.
pub(crate) struct LastDominant {
    speakers: BTreeMap<u32, Speaker>,
    dominant: Option<u32>,
    /// Who was dominant, the latest first.
    recent: Vec<u32>,
    frame_us: u64,
    decision_us: u64,
    slots: Vec<Option<u32>>,
}

impl LastDominant {
    /// Nobody heard yet.
    pub(crate) fn new(slots: usize) -> LastDominant {
        LastDominant {
            speakers: BTreeMap::new(),
            dominant: None,
            recent: Vec::new(),
            frame_us: FRAME_US,
            decision_us: DECISION_US,
            slots: vec![None; slots],
        }
    }

    fn decide(&mut self) {
        for speaker in self.speakers.values_mut() {
            speaker.score();
        }
        let of_dominant = self.dominant.and_then(|id| self.speakers.get(&id)).map(|s| s.scores);
        let challengers = self.speakers.iter().filter(|(id, _)| Some(**id) != self.dominant);
        let best = challengers
            .filter_map(|(&id, speaker)| {
                let Some(incumbent) = of_dominant else {
                    return (speaker.scores[1] > MINIMUM_SCORE).then_some((speaker.scores[1], id));
                };
                let ratio = |n: usize| (speaker.scores[n] / incumbent[n]).ln();
                let wins = (0..3).all(|n| ratio(n) > CHALLENGE[n]);
                wins.then(|| (ratio(1), id))
            })
            .max_by(|a, b| a.0.total_cmp(&b.0));
        let Some((_, dominant)) = best else {
            return;
        };
        self.dominant = Some(dominant);
        self.recent.retain(|&id| id != dominant);
        self.recent.insert(0, dominant);
        self.recent.truncate(self.slots.len());
        super::settle(&mut self.slots, &self.recent);
    }
}

impl Rule for LastDominant {
    fn packet(&mut self, packet: &Packet) {
        while packet.at_us >= self.frame_us {
            for speaker in self.speakers.values_mut() {
                speaker.take_frame(self.frame_us);
            }
            self.frame_us += FRAME_US;
            if self.frame_us >= self.decision_us {
                self.decide();
                self.decision_us += DECISION_US;
            }
        }
        let speaker = self.speakers.entry(packet.source).or_insert_with(Speaker::new);
        speaker.level = (i32::from(packet.level_dbov) + 127) as u32;
        speaker.heard_us = packet.at_us;
    }

    fn slots(&self) -> &[Option<u32>] {
        &self.slots
    }
}
