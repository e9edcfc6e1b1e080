//! A trace in, changes of slots out, at the times at which they happen.

use std::collections::BTreeMap;
use std::fmt;
use std::io::Read;
use std::time::Duration;

use selector::{Candidate, Changes, Level, Params, Reason, Selector, SourceId};
use serde::Deserialize;

/// A line of a trace.
#[derive(Debug, Deserialize)]
struct Line {
    t_ms: f64,
    source: String,
    level_dbov: i8,
    vad: Option<u8>,
}

/// A packet of a trace.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Packet {
    pub(crate) at: Duration,
    /// As the trace names it.
    pub(crate) source: String,
    pub(crate) level: Level,
    pub(crate) voice: Option<bool>,
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
    Line { line: u64, problem: &'static str },
    #[error("the first line has to be t_ms,source,level_dbov,vad")]
    NoHeader,
    #[error("no packet is of source {name}: there are {known}")]
    NoSuchSource { name: String, known: String },
}

/// The packets of a trace, in its order.
pub(crate) fn read(mut trace: impl Read) -> Result<Vec<Packet>, TraceError> {
    let mut bytes = Vec::new();
    trace.read_to_end(&mut bytes).map_err(TraceError::Input)?;
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(bytes.as_slice());
    let columns = reader.headers()?.clone();
    if !["t_ms", "source", "level_dbov"].iter().all(|name| columns.iter().any(|column| column == *name)) {
        return Err(TraceError::NoHeader);
    }
    let (mut packets, mut before) = (Vec::<Packet>::new(), Duration::ZERO);
    for record in reader.records() {
        let record = record?;
        let at = record.position().map_or(0, |position| position.byte() as usize);
        let line: Line = record.deserialize(Some(&columns))?;
        let refuse = |problem| TraceError::Line { line: line_at(&bytes, at), problem };
        // Microseconds are whole: what follows has no fractions.
        let us = (line.t_ms * 1000.0).round();
        if !(0.0..=1e15).contains(&us) {
            return Err(refuse("t_ms is not a time"));
        }
        let at = Duration::from_micros(us as u64);
        if at < before {
            return Err(refuse("t_ms is before that of the line above"));
        }
        before = at;
        if !(-127..=0).contains(&line.level_dbov) {
            return Err(refuse("level_dbov is not -127 to 0"));
        }
        let voice = match line.vad {
            None => None,
            Some(0) => Some(false),
            Some(1) => Some(true),
            Some(_) => return Err(refuse("vad is not 0, 1 or empty")),
        };
        if line.source.is_empty() {
            return Err(refuse("source is empty"));
        }
        // The output is CSV too, and has no quotes.
        if line.source.contains([',', '"', '\r', '\n']) {
            return Err(refuse("source has a comma, a quote or a line break"));
        }
        packets.push(Packet { at, source: line.source, level: Level::from_dbov(line.level_dbov), voice });
    }
    Ok(packets)
}

/// The number of the line that a record is on: the reader counts from the end of the one before, blank lines or not.
fn line_at(bytes: &[u8], record: usize) -> u64 {
    let blank = bytes[record..].iter().take_while(|byte| byte.is_ascii_whitespace()).count();
    1 + bytes[..record + blank].iter().filter(|&&byte| byte == b'\n').count() as u64
}

/// A slot has another speaker, or none.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SlotChange {
    pub(crate) at: Duration,
    pub(crate) slot: usize,
    pub(crate) source: Option<String>,
    pub(crate) former: Option<String>,
    pub(crate) reason: Reason,
}

impl fmt::Display for SlotChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{},{},{}", Millis(self.at), self.slot, self.source.as_deref().unwrap_or_default())
    }
}

/// A time in milliseconds, with a fraction only where there is one.
pub(crate) struct Millis(pub(crate) Duration);

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (ms, us) = (self.0.as_micros() / 1000, self.0.as_micros() % 1000);
        if us == 0 {
            write!(f, "{ms}")
        } else {
            write!(f, "{}", format!("{ms}.{us:03}").trim_end_matches('0'))
        }
    }
}

/// A selector, and the names of its sources.
pub(crate) struct Replay {
    pub(crate) selector: Selector,
    names: Vec<String>,
    ids: BTreeMap<String, SourceId>,
    slots: Vec<Option<SourceId>>,
}

impl Replay {
    pub(crate) fn new(params: Params) -> Replay {
        let selector = Selector::new(params);
        let slots = vec![None; selector.slots()];
        Replay { selector, names: Vec::new(), ids: BTreeMap::new(), slots }
    }

    /// The changes due before a packet, then those that it makes.
    pub(crate) fn packet(&mut self, packet: &Packet) -> Vec<SlotChange> {
        self.judged(packet).1
    }

    /// As [`Replay::packet`], with what the packet was judged to be.
    pub(crate) fn judged(&mut self, packet: &Packet) -> (Candidate, Vec<SlotChange>) {
        let mut made = Vec::new();
        while let Some(due) = self.selector.next_timeout().filter(|&due| due <= packet.at) {
            let changes = self.selector.tick(due);
            self.note(due, &changes, &mut made);
        }
        let source = self.id(&packet.source);
        let candidate = self.selector.judge(packet.at, source, packet.level, packet.voice);
        let changes = self.selector.rank(packet.at, &candidate);
        self.note(packet.at, &changes, &mut made);
        (candidate, made)
    }

    /// Who has the slots.
    pub(crate) fn speakers(&self) -> impl Iterator<Item = (usize, SourceId, &str)> {
        let occupied = self.slots.iter().enumerate();
        occupied
            .filter_map(|(slot, source)| Some((slot, (*source)?, self.names[(*source)?.0 as usize].as_str())))
    }

    fn id(&mut self, name: &str) -> SourceId {
        if let Some(&id) = self.ids.get(name) {
            return id;
        }
        let id = SourceId(self.names.len() as u32);
        self.names.push(name.to_owned());
        self.ids.insert(name.to_owned(), id);
        id
    }

    /// The reserve is no slot: nobody is told of it.
    fn note(&mut self, at: Duration, changes: &Changes, made: &mut Vec<SlotChange>) {
        let slots = self.slots.len();
        for change in changes.iter().filter(|change| change.position < slots) {
            let name = |id: Option<SourceId>| id.map(|id| self.names[id.0 as usize].clone());
            let (slot, source, reason) = (change.position, name(change.source), change.reason);
            let former = name(self.slots[slot]);
            made.push(SlotChange { at, slot, source, former, reason });
            self.slots[slot] = change.source;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replay(trace: &str) -> Vec<String> {
        let packets = read(trace.as_bytes()).expect("the trace is sound");
        let mut replay = Replay::new(Params::with_slots(1));
        packets.iter().flat_map(|packet| replay.packet(packet)).map(|change| change.to_string()).collect()
    }

    #[test]
    fn a_slot_is_taken_and_freed_at_the_time_at_which_it_happens() {
        let trace = "t_ms,source,level_dbov,vad\n0,ada,-90,\n20,ada,-30,1\n40,ada,-90,0\n9000.5,ben,-25,\n";
        assert_eq!(replay(trace), ["20,0,ada", "2520,0,", "9000.5,0,ben"]);
    }

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
        assert_eq!(refused("\n\n20,,-30,1"), "line 5: source is empty");
        assert_eq!(refused("20,\"a,b\",-30,1"), "line 3: source has a comma, a quote or a line break");
        assert!(refused("20,1,loud,1").contains("line: 3"), "{}", refused("20,1,loud,1"));
        for headless in ["", "\n", "0,1,-30,1\n", "time,who\n1,2\n"] {
            assert!(matches!(read(headless.as_bytes()), Err(TraceError::NoHeader)), "{headless:?}");
        }
        assert_eq!(read(&b"t_ms,source,level_dbov,vad\n"[..]).expect("nobody sent anything"), []);
    }
}
