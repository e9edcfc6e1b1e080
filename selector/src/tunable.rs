//! What of the parameters can be tuned from outside: names with units and ranges, for configurations and command lines.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::{Level, Params};

/// Longer than any pause or phrase, in milliseconds.
const MS_MAX: i32 = 60_000;
const DB_MAX: i32 = 60;

/// A number of [`Params`]: all but the number of slots, which is a room's in more ways than this one.
#[derive(Debug)]
pub struct Tunable {
    /// As the field, with its unit last: `margin_db`.
    pub name: &'static str,
    /// What it is and in which unit, in a line without a full stop.
    pub about: &'static str,
    /// What it may be set to, in its unit.
    pub range: RangeInclusive<i32>,
    field: Field,
}

#[derive(Debug)]
enum Field {
    Level(fn(&mut Params) -> &mut Level),
    Db(fn(&mut Params) -> &mut u8),
    Time(fn(&mut Params) -> &mut Duration),
}

/// A number that a parameter can't be set to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name} is {value}: set {} to {}", range.start(), range.end())]
pub struct OutOfRange {
    name: &'static str,
    value: i32,
    range: RangeInclusive<i32>,
}

impl Tunable {
    /// All of them, in the order of [`Params`].
    pub fn all() -> &'static [Tunable] {
        &TUNABLES
    }

    /// The one of this name.
    pub fn named(name: &str) -> Option<&'static Tunable> {
        TUNABLES.iter().find(|tunable| tunable.name == name)
    }

    /// What it is set to, in its unit.
    pub fn get(&self, params: &Params) -> i32 {
        let mut params = params.clone();
        match self.field {
            Field::Level(level) => level(&mut params).dbov().into(),
            Field::Db(db) => (*db(&mut params)).into(),
            Field::Time(time) => i32::try_from(time(&mut params).as_millis()).unwrap_or(i32::MAX),
        }
    }

    /// Sets it.
    ///
    /// # Errors
    /// [`OutOfRange`], and nothing is changed.
    pub fn set(&self, params: &mut Params, value: i32) -> Result<(), OutOfRange> {
        if !self.range.contains(&value) {
            return Err(OutOfRange { name: self.name, value, range: self.range.clone() });
        }
        match self.field {
            Field::Level(level) => *level(params) = Level::from_dbov(value as i8),
            Field::Db(db) => *db(params) = value as u8,
            Field::Time(time) => *time(params) = Duration::from_millis(value as u64),
        }
        Ok(())
    }
}

const fn level(name: &'static str, about: &'static str, field: fn(&mut Params) -> &mut Level) -> Tunable {
    Tunable { name, about, range: -127..=0, field: Field::Level(field) }
}

const fn db(name: &'static str, about: &'static str, field: fn(&mut Params) -> &mut u8) -> Tunable {
    Tunable { name, about, range: 0..=DB_MAX, field: Field::Db(field) }
}

const fn ms(
    name: &'static str,
    least: i32,
    about: &'static str,
    field: fn(&mut Params) -> &mut Duration,
) -> Tunable {
    Tunable { name, about, range: least..=MS_MAX, field: Field::Time(field) }
}

static TUNABLES: [Tunable; 16] = [
    level("active_level_dbov", "Packets below this level are never speech, in dBov", |p| &mut p.active_level),
    db("active_above_floor_db", "By how much speech is louder than its source's own noise, in dB", |p| {
        &mut p.active_above_floor_db
    }),
    ms("steady_after_ms", 20, "A level that stays for so long is noise, in milliseconds", |p| {
        &mut p.steady_after
    }),
    ms(
        "steady_after_arrival_ms",
        20,
        "The same, of a source that was never heard otherwise, in milliseconds",
        |p| &mut p.steady_after_arrival,
    ),
    db("steady_within_db", "How far a level strays that stays, in dB", |p| &mut p.steady_within_db),
    level("steady_level_dbov", "From this level on noise takes slots that are free, in dBov", |p| {
        &mut p.steady_level
    }),
    ms("bang_below_ms", 0, "Shorter activity is a bang, such as a keystroke, in milliseconds", |p| {
        &mut p.bang_below
    }),
    // Where a slot yields between two packets, it changes with each.
    ms(
        "yield_to_onset_after_ms",
        60,
        "After so much silence a slot yields to somebody who begins to speak, in milliseconds",
        |p| &mut p.yield_to_onset_after,
    ),
    ms(
        "yield_to_bang_after_ms",
        60,
        "After less silence than this it yields only to activity that is believed, in milliseconds",
        |p| &mut p.yield_to_bang_after,
    ),
    ms("believed_after_ms", 0, "Activity of this length is believed to be speech, in milliseconds", |p| {
        &mut p.believed_after
    }),
    ms("onset_within_ms", 0, "For how long somebody begins to speak, in milliseconds", |p| {
        &mut p.onset_within
    }),
    ms(
        "yield_after_ms",
        60,
        "After so much silence a slot yields to anybody who speaks, in milliseconds",
        |p| &mut p.yield_after,
    ),
    // Longer than the 400 ms between two packets of Opus DTX.
    ms("release_after_ms", 500, "After so much silence a slot is free, in milliseconds", |p| {
        &mut p.release_after
    }),
    db("margin_db", "By how much a challenger is louder than a speaker, in dB", |p| &mut p.margin_db),
    ms("challenge_for_ms", 0, "For how long it is louder, in milliseconds", |p| &mut p.challenge_for),
    ms("hold_for_ms", 60, "How long a new speaker is safe from challengers, in milliseconds", |p| {
        &mut p.hold_for
    }),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_parameter_can_be_tuned_and_is_named_as_its_field() {
        let defaults = Params::default();
        let mut changed = defaults.clone();
        for tunable in Tunable::all() {
            let value = tunable.get(&defaults);
            tunable.set(&mut changed, value).expect("a default is within its range");
            assert_eq!(changed, defaults, "{}", tunable.name);
            tunable.set(&mut changed, value + 1).expect("no default is the largest");
            // What the type prints names each field.
            let lines =
                |params: &Params| format!("{params:#?}").lines().map(str::to_owned).collect::<Vec<_>>();
            let (before, after) = (lines(&defaults), lines(&changed));
            let field = after.iter().find(|line| !before.contains(line)).expect("a field is another");
            let field = field.trim().split(':').next().unwrap_or_default();
            assert!(tunable.name.starts_with(field), "{} sets {field}", tunable.name);
            changed = defaults.clone();
        }
        // And the slots.
        let fields = format!("{defaults:#?}").lines().filter(|line| line.contains(": ")).count();
        assert_eq!(Tunable::all().len() + 1, fields);
    }

    #[test]
    fn a_parameter_takes_what_is_in_its_range_and_nothing_else() {
        let mut params = Params::default();
        for tunable in Tunable::all() {
            let (least, most) = (*tunable.range.start(), *tunable.range.end());
            for (value, is_taken) in [(least, true), (least - 1, false), (most, true), (most + 1, false)] {
                assert_eq!(tunable.set(&mut params, value).is_ok(), is_taken, "{} {value}", tunable.name);
            }
            assert_eq!(tunable.get(&params), most);
        }
        let margin = Tunable::named("margin_db").expect("it is one");
        let refused = margin.set(&mut params, 61).expect_err("61 is beyond it");
        assert_eq!(refused.to_string(), "margin_db is 61: set 0 to 60");
    }
}
