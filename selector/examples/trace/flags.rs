//! The flags: each parameter of the selector by its own name, with its unit.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use selector::{Level, Params};

/// Replays a trace of levels: `t_ms,slot,source` at each change of a slot.
#[derive(Parser)]
pub(crate) struct Flags {
    /// CSV with the header t_ms,source,level_dbov,vad, sorted by time
    pub(crate) trace: PathBuf,

    /// Slots
    #[arg(long, value_name = "SLOTS", default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=8))]
    k: u8,

    /// Tell, in place of the changes, why this source got its slots, lost them, or had none
    #[arg(long, value_name = "SOURCE")]
    pub(crate) why: Option<String>,

    /// Only what happened around this moment
    #[arg(long, value_name = "MS", requires = "why")]
    pub(crate) at_ms: Option<u64>,

    /// Packets below this level are never activity
    #[arg(long, value_name = "DBOV", allow_negative_numbers = true, value_parser = level())]
    active_level_dbov: Option<i8>,

    /// By how much activity is louder than the source's own noise
    #[arg(long, value_name = "DB")]
    active_above_floor_db: Option<u8>,

    /// By how much more, where the voice bit says that there is no voice
    #[arg(long, value_name = "DB")]
    unvoiced_penalty_db: Option<u8>,

    /// A level that stays for so long is noise
    #[arg(long, value_name = "MS")]
    steady_after_ms: Option<u32>,

    /// The same, of a source that was never heard otherwise
    #[arg(long, value_name = "MS")]
    steady_after_arrival_ms: Option<u32>,

    /// How far a steady level strays
    #[arg(long, value_name = "DB")]
    steady_within_db: Option<u8>,

    /// From here on a steady sound takes free slots
    #[arg(long, value_name = "DBOV", allow_negative_numbers = true, value_parser = level())]
    steady_level_dbov: Option<i8>,

    /// Shorter activity is a bang
    #[arg(long, value_name = "MS")]
    bang_below_ms: Option<u32>,

    /// After so much silence a slot yields to who begins to speak
    #[arg(long, value_name = "MS")]
    yield_to_onset_after_ms: Option<u32>,

    /// After less silence than this it yields only to activity that is believed
    #[arg(long, value_name = "MS")]
    yield_to_bang_after_ms: Option<u32>,

    /// Activity of this length is believed
    #[arg(long, value_name = "MS")]
    believed_after_ms: Option<u32>,

    /// For how long somebody begins to speak
    #[arg(long, value_name = "MS")]
    onset_within_ms: Option<u32>,

    /// After so much silence a slot yields to anybody who speaks
    #[arg(long, value_name = "MS")]
    yield_after_ms: Option<u32>,

    /// After so much silence a slot is free
    #[arg(long, value_name = "MS")]
    release_after_ms: Option<u32>,

    /// By how much a challenger is louder
    #[arg(long, value_name = "DB")]
    margin_db: Option<u8>,

    /// For how long it is louder
    #[arg(long, value_name = "MS")]
    challenge_for_ms: Option<u32>,

    /// How long a slot is safe from challengers
    #[arg(long, value_name = "MS")]
    hold_for_ms: Option<u32>,
}

impl Flags {
    /// The selector's parameters: the defaults, but for what is given.
    pub(crate) fn params(&self) -> Params {
        let mut params = Params::with_slots(self.k.into());
        let level = |param: &mut Level, flag: Option<i8>| {
            if let Some(dbov) = flag {
                *param = Level::from_dbov(dbov);
            }
        };
        let db = |param: &mut u8, flag: Option<u8>| *param = flag.unwrap_or(*param);
        let time = |param: &mut Duration, flag: Option<u32>| {
            *param = flag.map_or(*param, |ms| Duration::from_millis(ms.into()));
        };
        level(&mut params.active_level, self.active_level_dbov);
        level(&mut params.steady_level, self.steady_level_dbov);
        db(&mut params.active_above_floor_db, self.active_above_floor_db);
        db(&mut params.unvoiced_penalty_db, self.unvoiced_penalty_db);
        db(&mut params.steady_within_db, self.steady_within_db);
        db(&mut params.margin_db, self.margin_db);
        time(&mut params.steady_after, self.steady_after_ms);
        time(&mut params.steady_after_arrival, self.steady_after_arrival_ms);
        time(&mut params.bang_below, self.bang_below_ms);
        time(&mut params.yield_to_onset_after, self.yield_to_onset_after_ms);
        time(&mut params.yield_to_bang_after, self.yield_to_bang_after_ms);
        time(&mut params.believed_after, self.believed_after_ms);
        time(&mut params.onset_within, self.onset_within_ms);
        time(&mut params.yield_after, self.yield_after_ms);
        time(&mut params.release_after, self.release_after_ms);
        time(&mut params.challenge_for, self.challenge_for_ms);
        time(&mut params.hold_for, self.hold_for_ms);
        params
    }
}

fn level() -> clap::builder::RangedI64ValueParser<i8> {
    clap::value_parser!(i8).range(-127..=0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_parameter_has_a_flag_and_without_flags_they_are_the_defaults() {
        let defaults = Flags::parse_from(["trace", "t.csv"]).params();
        assert_eq!(defaults, Params::default());
        // What the type prints names each parameter: none may be left as it was.
        let flags = [
            "--k=5",
            "--active-level-dbov=-1",
            "--active-above-floor-db=1",
            "--unvoiced-penalty-db=1",
            "--steady-after-ms=1",
            "--steady-after-arrival-ms=1",
            "--steady-within-db=1",
            "--steady-level-dbov=-1",
            "--bang-below-ms=1",
            "--yield-to-onset-after-ms=1",
            "--yield-to-bang-after-ms=1",
            "--believed-after-ms=1",
            "--onset-within-ms=1",
            "--yield-after-ms=1",
            "--release-after-ms=1",
            "--margin-db=1",
            "--challenge-for-ms=1",
            "--hold-for-ms=1",
        ];
        let changed = Flags::parse_from([&["trace", "t.csv"], &flags[..]].concat()).params();
        let lines =
            |params: &Params| -> Vec<String> { format!("{params:#?}").lines().map(str::to_owned).collect() };
        let (before, after) = (lines(&defaults), lines(&changed));
        let same: Vec<&String> =
            before.iter().filter(|line| line.contains(':') && after.contains(line)).collect();
        assert!(same.is_empty(), "no flag sets {same:?}");
    }
}
