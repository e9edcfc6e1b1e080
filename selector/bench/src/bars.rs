//! What is promised of the selector: the score of a room in, the promises that it misses out.

use crate::scenarios::Kind;
use crate::score::Score;

/// One promise.
pub(crate) struct Bar {
    /// In words.
    pub(crate) promise: &'static str,
    /// Short, for the table of rooms.
    name: &'static str,
    /// The rooms it is made for.
    kinds: &'static [Kind],
    measure: fn(&Score) -> f64,
    limit: Limit,
}

#[derive(Clone, Copy)]
enum Limit {
    AtLeast(f64),
    AtMost(f64),
}

/// The room that is nearest to missing a promise, or misses it by most.
pub(crate) struct Worst {
    /// Where.
    pub(crate) room: &'static str,
    /// What was measured there.
    pub(crate) value: f64,
    /// Whether the promise holds there, and so everywhere.
    pub(crate) holds: bool,
}

const THREE: &[Kind] = &[Kind::Clean, Kind::Hard];

/// All promises.
pub(crate) const BARS: [Bar; 9] = [
    Bar {
        promise: "clean, at most three talk: at least 99.5 % of spoken frames are in a slot",
        name: "speech kept",
        kinds: &[Kind::Clean],
        measure: Score::kept_percent,
        limit: Limit::AtLeast(99.5),
    },
    Bar {
        promise: "noise, typing, liars, DTX, 2 % loss: at least 98 %",
        name: "speech kept",
        kinds: &[Kind::Hard],
        measure: Score::kept_percent,
        limit: Limit::AtLeast(98.0),
    },
    Bar {
        promise: "onset, p95: at most 20 ms",
        name: "onset p95",
        kinds: THREE,
        measure: |score| score.at_once.onset_ms(0.95).into(),
        limit: Limit::AtMost(20.0),
    },
    Bar {
        promise: "the same, with the pre-roll",
        name: "onset p95 with pre-roll",
        kinds: THREE,
        measure: |score| score.with_pre_roll.onset_ms(0.95).into(),
        limit: Limit::AtMost(20.0),
    },
    Bar {
        promise: "onset, max: at most 200 ms",
        name: "onset max",
        kinds: THREE,
        measure: |score| score.at_once.onset_ms(1.0).into(),
        limit: Limit::AtMost(200.0),
    },
    Bar {
        promise: "the same, with the pre-roll",
        name: "onset max with pre-roll",
        kinds: THREE,
        measure: |score| score.with_pre_roll.onset_ms(1.0).into(),
        limit: Limit::AtMost(200.0),
    },
    Bar {
        promise: "no active talker loses the slot to a source that isn't speaking",
        name: "cut for noise",
        kinds: &[Kind::Clean, Kind::Hard, Kind::Crowded],
        measure: |score| score.cuts_for_noise as f64,
        limit: Limit::AtMost(0.0),
    },
    Bar {
        promise: "at most 1.3 changes of slots a talk spurt",
        name: "changes a spurt",
        kinds: THREE,
        measure: Score::changes_a_spurt,
        limit: Limit::AtMost(1.3),
    },
    Bar {
        promise: "five equal voices at once: at most 12 changes a minute",
        name: "changes a minute",
        kinds: &[Kind::Crowded],
        measure: |score| score.a_minute(score.changes),
        limit: Limit::AtMost(12.0),
    },
];

impl Worst {
    /// The value, without zeros that say nothing.
    pub(crate) fn figure(&self) -> String {
        let figure = format!("{:.2}", self.value);
        figure.trim_end_matches('0').trim_end_matches('.').to_owned()
    }
}

impl Bar {
    /// How far a room is beyond the limit; below zero where the promise holds.
    fn excess(&self, score: &Score) -> f64 {
        match self.limit {
            Limit::AtLeast(least) => least - (self.measure)(score),
            Limit::AtMost(most) => (self.measure)(score) - most,
        }
    }

    /// Of the rooms that it is made for; `None` if none of these is.
    pub(crate) fn worst<'a>(
        &self,
        rooms: impl Iterator<Item = (&'static str, Kind, &'a Score)>,
    ) -> Option<Worst> {
        let (room, score) = rooms
            .filter(|(_, kind, _)| self.kinds.contains(kind))
            .map(|(room, _, score)| (room, score))
            .max_by(|(_, a), (_, b)| self.excess(a).total_cmp(&self.excess(b)))?;
        Some(Worst { room, value: (self.measure)(score), holds: self.excess(score) <= 0.0 })
    }
}

/// The promises that a room misses, in words; none if it keeps them all.
pub(crate) fn missed(kind: Kind, score: &Score) -> String {
    let missed = BARS.iter().filter(|bar| bar.kinds.contains(&kind) && bar.excess(score) > 0.0);
    missed.map(|bar| bar.name).collect::<Vec<_>>().join(", ")
}
