//! How well a rule served a room, against what was true.

use std::collections::BTreeMap;

use crate::rules::Rule;
use crate::trace::Trace;

/// The figures of one rule in one room.
#[derive(Clone, Debug, Default)]
pub(crate) struct Score {
    /// Spoken packets that arrived.
    pub(crate) spoken: u64,
    /// Those of them whose source was in a slot.
    pub(crate) kept: u64,
    /// For each spurt, milliseconds from its first packet to the first that was kept; a spurt that was never
    /// kept counts with its length.
    pub(crate) onsets_ms: Vec<u32>,
    /// Positions that got another occupant, or none.
    pub(crate) changes: u64,
    /// Talkers who lost their slot within a spurt.
    pub(crate) cuts: u64,
    /// Those of them who lost it to somebody who didn't speak.
    pub(crate) cuts_for_noise: u64,
    /// Minutes.
    pub(crate) minutes: f64,
}

impl Score {
    /// Replays a room.
    pub(crate) fn of(trace: &Trace, rule: &mut dyn Rule) -> Score {
        let mut score = Score { minutes: f64::from(trace.length_ms) / 60_000.0, ..Score::default() };
        let mut first_us: BTreeMap<u32, u64> = BTreeMap::new();
        let mut kept_us: BTreeMap<u32, u64> = BTreeMap::new();
        let mut last_us: BTreeMap<u32, u64> = BTreeMap::new();
        let speaking = Speaking::new(trace);
        let mut before = rule.slots().to_vec();
        for packet in &trace.packets {
            rule.packet(packet);
            let slots = rule.slots();
            for (was, is) in before.iter().zip(slots).filter(|(was, is)| was != is) {
                score.changes += 1;
                let Some(was) = was.filter(|was| !slots.contains(&Some(*was))) else {
                    continue;
                };
                if speaking.is(was, packet.at_us) {
                    score.cuts += 1;
                    score.cuts_for_noise += u64::from(is.is_none_or(|is| !speaking.is(is, packet.at_us)));
                }
            }
            before.copy_from_slice(slots);
            let Some(spurt) = packet.spurt else {
                continue;
            };
            score.spoken += 1;
            first_us.entry(spurt).or_insert(packet.at_us);
            last_us.insert(spurt, packet.at_us);
            if slots.contains(&Some(packet.source)) {
                score.kept += 1;
                kept_us.entry(spurt).or_insert(packet.at_us);
            }
        }
        for (spurt, first) in first_us {
            let kept = kept_us.get(&spurt).copied().unwrap_or(last_us[&spurt] + 20_000);
            score.onsets_ms.push(((kept - first) / 1000) as u32);
        }
        score.onsets_ms.sort_unstable();
        score
    }

    /// Both together.
    pub(crate) fn merge(&mut self, other: Score) {
        self.spoken += other.spoken;
        self.kept += other.kept;
        self.onsets_ms.extend(other.onsets_ms);
        self.onsets_ms.sort_unstable();
        self.changes += other.changes;
        self.cuts += other.cuts;
        self.cuts_for_noise += other.cuts_for_noise;
        self.minutes += other.minutes;
    }

    /// Share of what was spoken that was heard, percent.
    pub(crate) fn kept_percent(&self) -> f64 {
        100.0 * self.kept as f64 / self.spoken.max(1) as f64
    }

    /// The onset delay that this share of the spurts stays within, milliseconds.
    pub(crate) fn onset_ms(&self, share: f64) -> u32 {
        let last = self.onsets_ms.len().saturating_sub(1);
        self.onsets_ms.get((last as f64 * share).round() as usize).copied().unwrap_or(0)
    }

    /// Changes a spurt.
    pub(crate) fn changes_a_spurt(&self) -> f64 {
        self.changes as f64 / self.onsets_ms.len().max(1) as f64
    }

    /// A count, a minute.
    pub(crate) fn a_minute(&self, count: u64) -> f64 {
        count as f64 / self.minutes
    }
}

/// Who speaks at a time.
struct Speaking(BTreeMap<u32, Vec<(u64, u64)>>);

impl Speaking {
    fn new(trace: &Trace) -> Speaking {
        let mut spoken: BTreeMap<u32, (u32, u64, u64)> = BTreeMap::new();
        for packet in &trace.packets {
            if let Some(spurt) = packet.spurt {
                let entry = spoken.entry(spurt).or_insert((packet.source, packet.at_us, packet.at_us));
                entry.2 = packet.at_us;
            }
        }
        let mut by_source: BTreeMap<u32, Vec<(u64, u64)>> = BTreeMap::new();
        for (source, from, to) in spoken.into_values() {
            by_source.entry(source).or_default().push((from, to));
        }
        for intervals in by_source.values_mut() {
            intervals.sort_unstable();
        }
        Speaking(by_source)
    }

    fn is(&self, source: u32, at_us: u64) -> bool {
        let Some(intervals) = self.0.get(&source) else {
            return false;
        };
        let next = intervals.partition_point(|&(from, _)| from <= at_us);
        next > 0 && intervals[next - 1].1 > at_us
    }
}
