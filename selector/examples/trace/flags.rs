//! The flags: each parameter of the selector by its own name, with its unit.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Arg, ArgMatches, CommandFactory, FromArgMatches, Parser};
use selector::{Params, SLOTS_MAX, Tunable};

/// Replays a trace of levels: `t_ms,slot,source` at each change of a slot.
#[derive(Parser)]
pub(crate) struct Flags {
    /// CSV with the header t_ms,source,level_dbov,vad, sorted by time
    pub(crate) trace: PathBuf,

    /// Slots [default: those of the trace, or 3]
    #[arg(long, value_name = "SLOTS", value_parser = clap::value_parser!(u8).range(1..=SLOTS_MAX as i64))]
    k: Option<u8>,

    /// Tell, in place of the changes, why this source got its slots, lost them, or had none
    #[arg(long, value_name = "SOURCE")]
    pub(crate) why: Option<String>,

    /// Only what happened around this moment
    #[arg(long, value_name = "MS", requires = "why")]
    pub(crate) at_ms: Option<u64>,

    /// The parameters that are given.
    #[arg(skip)]
    tuned: Vec<(&'static Tunable, i32)>,
}

impl Flags {
    /// Reads a command line; what is wrong with it ends the process, and so does `--help`.
    pub(crate) fn of(arguments: impl IntoIterator<Item = OsString>) -> Flags {
        let command = Flags::command().args(Tunable::all().iter().map(flag));
        let matches = command.get_matches_from(arguments);
        let mut flags = Flags::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
        flags.tuned = tuned(&matches);
        flags
    }

    /// The selector's parameters: those given, but for what the flags say.
    pub(crate) fn apply_to(&self, mut params: Params) -> Params {
        params.slots = self.k.map_or(params.slots, usize::from);
        for (tunable, value) in &self.tuned {
            tunable.set(&mut params, *value).expect("clap has checked the range");
        }
        params
    }
}

fn flag(tunable: &'static Tunable) -> Arg {
    let unit = tunable.name.rsplit('_').next().unwrap_or_default();
    let (least, most) = (*tunable.range.start(), *tunable.range.end());
    let default = tunable.get(&Params::default());
    Arg::new(tunable.name)
        .long(tunable.name.replace('_', "-"))
        .value_name(unit.to_uppercase())
        .allow_negative_numbers(true)
        .value_parser(clap::value_parser!(i32).range(i64::from(least)..=i64::from(most)))
        .help(format!("{} [default: {default}]", tunable.about))
}

fn tuned(matches: &ArgMatches) -> Vec<(&'static Tunable, i32)> {
    let value = |tunable: &'static Tunable| Some((tunable, *matches.get_one::<i32>(tunable.name)?));
    Tunable::all().iter().filter_map(value).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(arguments: &[&str]) -> Params {
        let line = ["trace", "t.csv"].iter().chain(arguments);
        Flags::of(line.map(OsString::from)).apply_to(Params::with_slots(2))
    }

    #[test]
    fn flags_come_before_what_the_trace_says() {
        assert_eq!(params(&[]), Params::with_slots(2));
        let flags = ["--k=5", "--active-level-dbov", "-40", "--margin-db=1", "--hold-for-ms=70"];
        let params = params(&flags);
        assert_eq!((params.slots, params.active_level.dbov(), params.margin_db), (5, -40, 1));
        assert_eq!(params.hold_for.as_millis(), 70);
    }

    #[test]
    fn each_parameter_has_a_flag() {
        for tunable in Tunable::all() {
            let value = tunable.get(&Params::default()) + 1;
            let flag = format!("--{}={value}", tunable.name.replace('_', "-"));
            assert_eq!(tunable.get(&params(&[&flag])), value, "{flag}");
        }
    }
}
