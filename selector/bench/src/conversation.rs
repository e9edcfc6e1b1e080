//! Who speaks when, among any number: seeded turns.
//!
//! Talk spurts are as long as in ITU-T P.59 (1.0 s in the mean, exponentially distributed). The rest is not from P.59,
//! which knows two parties (see `pair`): the floor goes from one to the next, with a gap or an overlap, and a listener
//! now and then says "mm".

use std::ops::Range;

use rand::RngExt;
use rand::rngs::StdRng;
use rand_distr::{Distribution, Exp};

use crate::trace::Spurt;

/// ITU-T P.59, table 1: seconds.
const SPURT_MEAN_S: f64 = 1.004;
/// Within a turn: a breath. The pauses of P.59 are longer, for they hold the other party's turns too.
const PAUSE_MEAN_S: f64 = 0.4;
/// Turns hold some spurts, with short pauses in between.
const SPURTS_A_TURN_MEAN: f64 = 2.5;
/// Between turns: as often an overlap as a gap.
const GAP_S: Range<f64> = -0.4..0.8;
/// Shorter is no speech, longer is out of breath.
const SPURT_S: Range<f64> = 0.2..8.0;
const ACKNOWLEDGEMENT_S: Range<f64> = 0.25..0.5;

/// What kind of talk it is.
#[derive(Clone, Copy, Debug)]
pub struct Talk {
    /// How many take part.
    pub talkers: u32,
    /// At most so many speak at once; more are cut short before they begin.
    pub at_once_max: usize,
    /// "mm"s a minute.
    pub acknowledgements_a_minute: f64,
}

/// The spurts of a conversation, in the order of their beginnings.
pub fn turns(rng: &mut StdRng, talk: Talk, length_ms: u32) -> Vec<Spurt> {
    let length_s = f64::from(length_ms) / 1000.0;
    let mut planned = Vec::new();
    let (mut at_s, mut talker) = (0.5, 0);
    while at_s < length_s {
        let spurts = exponential(rng, SPURTS_A_TURN_MEAN).ceil().clamp(1.0, 12.0) as u32;
        for n in 0..spurts {
            let spurt_s = exponential(rng, SPURT_MEAN_S).clamp(SPURT_S.start, SPURT_S.end);
            planned.push((talker, at_s, spurt_s));
            at_s += spurt_s;
            if n + 1 < spurts {
                at_s += exponential(rng, PAUSE_MEAN_S).max(0.2);
            }
        }
        at_s = (at_s + rng.random_range(GAP_S)).max(0.0);
        if talk.talkers > 1 {
            talker = (talker + rng.random_range(1..talk.talkers)) % talk.talkers;
        }
    }
    let acknowledgements = (length_s / 60.0 * talk.acknowledgements_a_minute) as u32;
    for _ in 0..acknowledgements {
        let at_s = rng.random_range(0.0..length_s);
        planned.push((rng.random_range(0..talk.talkers), at_s, rng.random_range(ACKNOWLEDGEMENT_S)));
    }
    planned.sort_by(|a, b| a.1.total_cmp(&b.1));
    admit(planned, talk.at_once_max, length_ms)
}

/// Everybody speaks all the time, with the pauses of their own breath: a quarrel.
pub fn quarrel(rng: &mut StdRng, talkers: u32, length_ms: u32) -> Vec<Spurt> {
    let length_s = f64::from(length_ms) / 1000.0;
    let mut planned = Vec::new();
    for talker in 0..talkers {
        let mut at_s = rng.random_range(0.0..1.0);
        while at_s < length_s {
            let spurt_s = exponential(rng, 2.0 * SPURT_MEAN_S).clamp(SPURT_S.start, SPURT_S.end);
            planned.push((talker, at_s, spurt_s));
            at_s += spurt_s + exponential(rng, 0.25).clamp(0.1, 0.6);
        }
    }
    planned.sort_by(|a, b| a.1.total_cmp(&b.1));
    admit(planned, talkers as usize, length_ms)
}

/// Takes what is planned, except where too many would speak at once or somebody speaks already.
fn admit(planned: Vec<(u32, f64, f64)>, at_once_max: usize, length_ms: u32) -> Vec<Spurt> {
    // A breath between two spurts of one talker, or they are one.
    const BREATH_MS: u32 = 100;
    let mut admitted: Vec<Spurt> = Vec::new();
    for (source, at_s, spurt_s) in planned {
        let from = (at_s * 1000.0) as u32;
        let to = (from + (spurt_s * 1000.0) as u32).min(length_ms);
        let recent = || admitted.iter().rev().take(64);
        let speaking = recent().filter(|spurt| spurt.ms.end > from).count();
        let own = recent().any(|spurt| spurt.source == source && spurt.ms.end + BREATH_MS > from);
        if speaking < at_once_max && !own && to > from {
            admitted.push(Spurt { source, ms: from..to });
        }
    }
    admitted
}

/// Seconds, exponentially distributed.
pub fn exponential(rng: &mut StdRng, mean: f64) -> f64 {
    Exp::new(1.0 / mean).expect("means are positive").sample(rng)
}
