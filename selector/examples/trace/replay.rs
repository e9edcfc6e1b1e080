//! A trace in, changes of slots out, at the times at which they happen.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use selector::{Candidate, Changes, Params, Reason, Selector, SourceId};

use crate::reading::{Entry, What};

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

    /// The changes due before an entry of the trace, then those that it makes.
    pub(crate) fn replay(&mut self, entry: &Entry) -> Vec<SlotChange> {
        self.judged(entry).1
    }

    /// As [`Replay::replay`], with what a packet was judged to be.
    pub(crate) fn judged(&mut self, entry: &Entry) -> (Option<Candidate>, Vec<SlotChange>) {
        let mut made = Vec::new();
        while let Some(due) = self.selector.next_timeout().filter(|&due| due <= entry.at) {
            let changes = self.selector.tick(due);
            self.note(due, &changes, &mut made);
        }
        let source = self.id(&entry.source);
        let (candidate, changes) = match entry.what {
            What::Packet { level, voice } => {
                let candidate = self.selector.judge(entry.at, source, level, voice);
                (Some(candidate), self.selector.rank(entry.at, &candidate))
            }
            What::Silent => (None, self.selector.remove(source)),
            What::Stands(standing) => (None, self.selector.set_standing(source, Some(standing))),
        };
        self.note(entry.at, &changes, &mut made);
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
    use crate::reading::read;

    fn replay(trace: &str) -> Vec<String> {
        let trace = read(trace.as_bytes()).expect("the trace is sound");
        let mut replay = Replay::new(trace.params);
        trace.entries.iter().flat_map(|entry| replay.replay(entry)).map(|change| change.to_string()).collect()
    }

    #[test]
    fn a_slot_is_taken_and_freed_at_the_time_at_which_it_happens() {
        let trace = "t_ms,source,level_dbov,vad\n0,ada,-90,\n20,ada,-30,1\n40,ada,-90,0\n9000.5,ben,-25,\n";
        assert_eq!(replay(trace), ["20,0,ada", "2520,0,", "9000.5,0,ben"]);
    }

    #[test]
    fn notes_of_a_server_count() {
        let head = "t_ms,source,level_dbov,vad\n#k,1\n#release_after_ms,500\n";
        let muted = format!("{head}0,ada,-90,\n20,ada,-30,1\n#100,ada,silent\n# a remark\n");
        assert_eq!(replay(&muted), ["20,0,ada", "100,0,"]);
        let pinned = format!("{head}0,ada,-90,\n20,ada,-30,1\n#30,ben,pinned\n40,ben,-90,0\n500,ben,-90,0\n");
        assert_eq!(replay(&pinned), ["20,0,ada", "40,0,ben"]);
        let shorter = format!("{head}0,ada,-90,\n20,ada,-30,1\n9000,ben,-90,\n");
        assert_eq!(replay(&shorter), ["20,0,ada", "520,0,"]);
    }
}
