//! The bytes of a trace in; its entries, in order, out.

use std::io::Read;
use std::time::Duration;

use csv::StringRecord;
use selector::{Level, Params, SLOTS_MAX, Standing, Tunable};
use serde::Deserialize;

/// A trace that was read.
#[derive(Debug, PartialEq)]
pub(crate) struct Trace {
    /// The defaults, but for what the trace says.
    pub(crate) params: Params,
    pub(crate) entries: Vec<Entry>,
}

/// Something that happened to a source.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    pub(crate) at: Duration,
    /// As the trace names it.
    pub(crate) source: String,
    pub(crate) what: What,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum What {
    Packet {
        level: Level,
        voice: Option<bool>,
    },
    /// It was muted, or left.
    Silent,
    /// A moderator said so.
    Stands(Standing),
}

/// Why a trace can't be replayed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TraceError {
    #[error("{0}")]
    Input(std::io::Error),
    #[error("{0}")]
    Output(std::io::Error),
    #[error("{0}")]
    Csv(#[from] csv::Error),
    #[error("line {line}: {problem}")]
    Line { line: u64, problem: String },
    #[error("the first line has to be t_ms,source,level_dbov,vad")]
    NoHeader,
    #[error("no packet is of source {name}: there are {known}")]
    NoSuchSource { name: String, known: String },
}

/// A packet's line.
#[derive(Deserialize)]
struct Line {
    t_ms: f64,
    source: String,
    level_dbov: i8,
    vad: Option<u8>,
}

/// Reads a trace. A line that begins with `#` is a note: `#NAME,VALUE` sets a parameter, or `k`; `#t_ms,source,what` tells
/// that a source is `silent`, or how it stands from then on. One that goes on with a space is a remark.
pub(crate) fn read(mut trace: impl Read) -> Result<Trace, TraceError> {
    let mut bytes = Vec::new();
    trace.read_to_end(&mut bytes).map_err(TraceError::Input)?;
    // A note has as many columns as it needs.
    let mut reader =
        csv::ReaderBuilder::new().trim(csv::Trim::All).flexible(true).from_reader(bytes.as_slice());
    let columns = reader.headers()?.clone();
    if !["t_ms", "source", "level_dbov"].iter().all(|name| columns.iter().any(|column| column == *name)) {
        return Err(TraceError::NoHeader);
    }
    let mut trace = Trace { params: Params::default(), entries: Vec::new() };
    let mut before = Duration::ZERO;
    for record in reader.records() {
        let record = record?;
        let at = record.position().map_or(0, |position| position.byte() as usize);
        let refuse = |problem: String| TraceError::Line { line: line_at(&bytes, at), problem };
        let entry = match record.get(0).and_then(|first| first.strip_prefix('#')) {
            Some(first) => note(first, &record, &mut trace.params),
            None if record.len() != columns.len() => {
                Err(format!("{} columns, where the first line has {}", record.len(), columns.len()))
            }
            None => packet(record.deserialize(Some(&columns))?).map(Some),
        };
        let Some(entry) = entry.map_err(refuse)? else {
            continue;
        };
        if entry.at < before {
            return Err(refuse("t_ms is before that of the line above".into()));
        }
        before = entry.at;
        trace.entries.push(entry);
    }
    Ok(trace)
}

fn packet(line: Line) -> Result<Entry, String> {
    if !(-127..=0).contains(&line.level_dbov) {
        return Err("level_dbov is not -127 to 0".into());
    }
    let voice = match line.vad {
        None => None,
        Some(0) => Some(false),
        Some(1) => Some(true),
        Some(_) => return Err("vad is not 0, 1 or empty".into()),
    };
    entry(line.t_ms, line.source, What::Packet { level: Level::from_dbov(line.level_dbov), voice })
}

/// What a server notes besides the packets; `None` for a parameter, which is set, and for a remark.
fn note(first: &str, record: &StringRecord, params: &mut Params) -> Result<Option<Entry>, String> {
    if first.is_empty() || first.starts_with(' ') {
        return Ok(None);
    }
    if let (2, Some(value)) = (record.len(), record.get(1)) {
        return set(params, first, value).map(|()| None);
    }
    let (3, Some(source), Some(what), Ok(t_ms)) = (record.len(), record.get(1), record.get(2), first.parse())
    else {
        return Err("a note is #NAME,VALUE or #t_ms,source,what, a remark begins with a space".into());
    };
    let what = match what {
        "silent" => What::Silent,
        "ordinary" => What::Stands(Standing::Ordinary),
        "priority" => What::Stands(Standing::Priority),
        "pinned" => What::Stands(Standing::Pinned),
        _ => return Err("a source is not silent, ordinary, priority or pinned".into()),
    };
    entry(t_ms, source.to_owned(), what).map(Some)
}

fn set(params: &mut Params, name: &str, value: &str) -> Result<(), String> {
    let value: i32 = value.parse().map_err(|_| format!("{name} is not a number"))?;
    match Tunable::named(name) {
        Some(tunable) => tunable.set(params, value).map_err(|refused| refused.to_string()),
        None if name != "k" => Err(format!("there is no parameter {name}")),
        None if (1..=SLOTS_MAX as i32).contains(&value) => {
            params.slots = value as usize;
            Ok(())
        }
        None => Err(format!("k is {value}: set 1 to {SLOTS_MAX}")),
    }
}

fn entry(t_ms: f64, source: String, what: What) -> Result<Entry, String> {
    // Microseconds are whole: what follows has no fractions.
    let us = (t_ms * 1000.0).round();
    if !(0.0..=1e15).contains(&us) {
        return Err("t_ms is not a time".into());
    }
    if source.is_empty() {
        return Err("source is empty".into());
    }
    // The output is CSV too, and has no quotes.
    if source.contains([',', '"', '\r', '\n']) {
        return Err("source has a comma, a quote or a line break".into());
    }
    Ok(Entry { at: Duration::from_micros(us as u64), source, what })
}

/// The number of the line that a record is on: the reader counts from the end of the one before, blank lines or not.
fn line_at(bytes: &[u8], record: usize) -> u64 {
    let blank = bytes[record..].iter().take_while(|byte| byte.is_ascii_whitespace()).count();
    1 + bytes[..record + blank].iter().filter(|&&byte| byte == b'\n').count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_trace_is_refused_by_its_line() {
        let refused = |lines: &str| {
            let trace = format!("t_ms,source,level_dbov,vad\n0,1,-30,1\n{lines}\n");
            read(trace.as_bytes()).expect_err("refused").to_string()
        };
        assert_eq!(refused("-1,1,-30,1"), "line 3: t_ms is not a time");
        assert_eq!(refused("20,1,-30,1\n19,1,-30,1"), "line 4: t_ms is before that of the line above");
        assert_eq!(refused("20,1,1,1"), "line 3: level_dbov is not -127 to 0");
        assert_eq!(refused("20,1,-30,2"), "line 3: vad is not 0, 1 or empty");
        assert_eq!(refused("20,,-30,1"), "line 3: source is empty");
        assert_eq!(refused("20,1,-30"), "line 3: 3 columns, where the first line has 4");
        assert_eq!(refused("\n\n20,,-30,1"), "line 5: source is empty");
        assert_eq!(refused("20,\"a,b\",-30,1"), "line 3: source has a comma, a quote or a line break");
        assert!(refused("20,1,loud,1").contains("line: 3"), "{}", refused("20,1,loud,1"));
        assert_eq!(refused("#margin_db,61"), "line 3: margin_db is 61: set 0 to 60");
        assert_eq!(refused("#k,9"), "line 3: k is 9: set 1 to 8");
        assert_eq!(refused("#k,three"), "line 3: k is not a number");
        assert_eq!(refused("#slots,1"), "line 3: there is no parameter slots");
        let form = "line 3: a note is #NAME,VALUE or #t_ms,source,what, a remark begins with a space";
        assert_eq!(refused("#remark"), form);
        assert_eq!(refused("#k,1,2,3"), form);
        assert_eq!(refused("#20,1,loud"), "line 3: a source is not silent, ordinary, priority or pinned");
        for headless in ["", "\n", "0,1,-30,1\n", "time,who\n1,2\n"] {
            assert!(matches!(read(headless.as_bytes()), Err(TraceError::NoHeader)), "{headless:?}");
        }
        assert_eq!(read(&b"t_ms,source,level_dbov,vad\n"[..]).expect("nobody sent anything").entries, []);
    }
}
