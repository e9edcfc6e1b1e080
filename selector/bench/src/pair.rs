//! Two people on a telephone, by the state model of ITU-T P.59 (artificial conversational speech).
//!
//! ```text
//!            ┌──────────────▶ both ◀─────────────┐
//!            │  to_double_talk   to_double_talk  │
//!            ▼ 1/2                           1/2 ▼
//!         A alone                              B alone
//!            ▲ 1/2                           1/2 ▲
//!            │   otherwise          otherwise    │
//!            └─────────────▶ nobody ◀────────────┘
//! ```
//!
//! What P.59 covers: who of two parties makes a sound when, on a telephone, in the mean of some languages, as a
//! detector with a hangover sees it, so that the closures within words are no pauses. It says nothing of more than
//! two people, of levels, or of what is said: double talk comes by chance, not because somebody wants the floor.
//!
//! Table 1 of P.59 gives the means of four durations. The constants of its state model (alone 0.854 s, both 0.226 s,
//! nobody 0.456 s, 40 % of the ways out of "alone" into double talk) come close to three of them only: they give pauses
//! of 1.40 s. And its shares of time (speech 38.53 %, double talk 6.59 %, mutual silence 22.48 %) fit no process with
//! two states a party: 2 x 38.53 - 6.59 + 22.48 is 92.95. So the model here is theirs, with constants for which all four
//! means are those of the table; double talk is 5 % of the time then, and mutual silence 28 %.

use rand::RngExt;
use rand::rngs::StdRng;

use crate::conversation::exponential;
use crate::trace::Spurt;

/// Table 1, in seconds.
const DOUBLE_TALK_MEAN_S: f64 = 0.228;
const MUTUAL_SILENCE_MEAN_S: f64 = 0.508;

/// The share p of the ways out of "alone" that lead to double talk, and the mean a of "alone", in seconds.
///
/// A talk spurt is a + 2 p DT in the mean, and a spurt and its pause together are 2 (a + p DT + (1 - p) MS). With the
/// 1.004 s and 1.587 s of table 1 both are determined.
const TO_DOUBLE_TALK: f64 = 0.2942;
const ALONE_MEAN_S: f64 = 0.8698;

/// Who makes a sound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Alone(u32),
    Both,
    Nobody,
}

impl State {
    fn mean_s(self) -> f64 {
        match self {
            State::Alone(_) => ALONE_MEAN_S,
            State::Both => DOUBLE_TALK_MEAN_S,
            State::Nobody => MUTUAL_SILENCE_MEAN_S,
        }
    }

    fn next(self, rng: &mut StdRng) -> State {
        match self {
            State::Alone(_) if rng.random_bool(TO_DOUBLE_TALK) => State::Both,
            State::Alone(_) => State::Nobody,
            State::Both | State::Nobody => State::Alone(rng.random_range(0..2)),
        }
    }

    fn speaks(self, party: u32) -> bool {
        self == State::Both || self == State::Alone(party)
    }
}

/// The spurts of the parties 0 and 1, in the order of their beginnings.
pub(crate) fn pair(rng: &mut StdRng, length_ms: u32) -> Vec<Spurt> {
    let mut spurts = Vec::new();
    let mut since_ms: [Option<u32>; 2] = [None; 2];
    let (mut at_s, mut state) = (0.0, State::Nobody);
    loop {
        let at_ms = ((at_s * 1000.0) as u32).min(length_ms);
        let is_over = at_ms == length_ms;
        for (party, since) in (0..).zip(&mut since_ms) {
            if state.speaks(party) && !is_over {
                since.get_or_insert(at_ms);
            } else if let Some(from) = since.take() {
                spurts.push(Spurt { source: party, ms: from..at_ms });
            }
        }
        if is_over {
            break;
        }
        at_s += exponential(rng, state.mean_s());
        state = state.next(rng);
    }
    spurts.sort_by_key(|spurt| (spurt.ms.start, spurt.source));
    spurts
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    /// The mean length of the stretches in which `is_in` holds of who speaks, in seconds.
    fn mean_s(spurts: &[Spurt], is_in: fn([bool; 2]) -> bool) -> f64 {
        let edges = |s: &Spurt| [(s.ms.start, s.source as usize, true), (s.ms.end, s.source as usize, false)];
        let mut edges: Vec<(u32, usize, bool)> = spurts.iter().flat_map(edges).collect();
        edges.sort_unstable();
        let (mut speaks, mut since_ms) = ([false; 2], None);
        let (mut total_ms, mut stretches) = (0, 0);
        for (ms, party, begins) in edges {
            speaks[party] = begins;
            match since_ms {
                None if is_in(speaks) => since_ms = Some(ms),
                Some(since) if !is_in(speaks) => {
                    (total_ms, stretches, since_ms) = (total_ms + ms - since, stretches + 1, None);
                }
                _ => {}
            }
        }
        f64::from(total_ms) / 1000.0 / f64::from(stretches)
    }

    #[test]
    fn durations_have_the_means_of_p59_table_1() {
        // A day: the means of some 20,000 stretches deviate by about 0.7 %.
        const LENGTH_MS: u32 = 24 * 3_600_000;
        for seed in 0..3 {
            let spurts = pair(&mut StdRng::seed_from_u64(seed), LENGTH_MS);
            let measured = [
                ("talk spurt", 1.004, mean_s(&spurts, |speaks| speaks[0])),
                ("pause", 1.587, mean_s(&spurts, |speaks| !speaks[0])),
                ("double talk", 0.228, mean_s(&spurts, |speaks| speaks[0] && speaks[1])),
                ("mutual silence", 0.508, mean_s(&spurts, |speaks| !speaks[0] && !speaks[1])),
            ];
            for (name, table_s, mean_s) in measured {
                let off = mean_s / table_s - 1.0;
                assert!(off.abs() < 0.03, "{name}: {mean_s:.3} s, P.59 has {table_s} s (seed {seed})");
            }
        }
    }

    #[test]
    fn a_party_has_one_spurt_at_a_time() {
        let spurts = pair(&mut StdRng::seed_from_u64(7), 600_000);
        for party in 0..2 {
            let own: Vec<&Spurt> = spurts.iter().filter(|spurt| spurt.source == party).collect();
            assert!(own.len() > 100, "{} spurts", own.len());
            assert!(own.windows(2).all(|two| two[0].ms.end <= two[1].ms.start));
        }
    }
}
