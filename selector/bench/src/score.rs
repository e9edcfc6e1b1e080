//! How well a rule served a room, against what was true.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::pre_roll::PreRoll;
use crate::rules::Rule;
use crate::trace::Trace;
use crate::voice::FRAME_MS;

/// What was heard of what was spoken.
#[derive(Clone, Debug, Default)]
pub(crate) struct Heard {
    /// Spoken packets that were heard.
    pub(crate) packets: u64,
    /// For each spurt, milliseconds from its first packet to the first that was heard; a spurt that was never
    /// heard counts with its length. Sorted.
    onsets_ms: Vec<u32>,
}

impl Heard {
    /// The onset delay that this share of the spurts stays within, milliseconds.
    pub(crate) fn onset_ms(&self, share: f64) -> u32 {
        let last = self.onsets_ms.len().saturating_sub(1);
        self.onsets_ms.get((last as f64 * share).round() as usize).copied().unwrap_or(0)
    }

    fn merge(&mut self, other: &Heard) {
        self.packets += other.packets;
        self.onsets_ms.extend_from_slice(&other.onsets_ms);
        self.onsets_ms.sort_unstable();
    }
}

/// The figures of one rule in one room.
#[derive(Clone, Debug, Default)]
pub(crate) struct Score {
    /// Spoken packets that arrived.
    pub(crate) spoken: u64,
    /// Heard at once: their source was in a slot.
    pub(crate) at_once: Heard,
    /// Heard at once, or from the ring that the server keeps of who has no slot (see `pre_roll`).
    pub(crate) with_pre_roll: Heard,
    /// Positions that got another occupant, or none.
    pub(crate) changes: u64,
    /// Talkers who lost their slot within a spurt.
    pub(crate) cuts: u64,
    /// Those of them who lost it to somebody who didn't speak.
    pub(crate) cuts_for_noise: u64,
    /// Minutes.
    pub(crate) minutes: f64,
}

/// When the packets of a spurt were heard, in microseconds.
struct Onset {
    first_us: u64,
    last_us: u64,
    at_once_us: Option<u64>,
    with_pre_roll_us: Option<u64>,
}

impl Onset {
    fn ms(&self, heard_us: Option<u64>) -> u32 {
        let heard_us = heard_us.unwrap_or(self.last_us + u64::from(FRAME_MS) * 1000);
        ((heard_us - self.first_us) / 1000) as u32
    }
}

impl Score {
    /// Replays a room.
    pub(crate) fn of(trace: &Trace, rule: &mut dyn Rule, pre_roll_ms: u32) -> Score {
        let mut score = Score { minutes: f64::from(trace.length_ms) / 60_000.0, ..Score::default() };
        let mut onsets: BTreeMap<u32, Onset> = BTreeMap::new();
        let mut pre_roll = PreRoll::new(pre_roll_ms);
        let speaking = Speaking::new(trace);
        let mut before = rule.slots().to_vec();
        for packet in &trace.packets {
            rule.packet(packet);
            let slots = rule.slots();
            if before != slots {
                score.count_changes(&before, slots, &speaking, packet.at_us);
                for &source in slots.iter().flatten().filter(|&&source| !before.contains(&Some(source))) {
                    for late in pre_roll.take(source, packet.at_us, rule.onset_age_ms(), rule.noise_dbov()) {
                        let onset = late.spurt.and_then(|spurt| onsets.get_mut(&spurt));
                        score.with_pre_roll.packets += u64::from(onset.is_some());
                        if let Some(onset) = onset {
                            onset.with_pre_roll_us.get_or_insert(late.at_us);
                        }
                    }
                }
                before.copy_from_slice(slots);
            }
            let is_heard = slots.contains(&Some(packet.source));
            if !is_heard {
                pre_roll.keep(packet);
            }
            if let Some(spurt) = packet.spurt {
                score.spoken += 1;
                score.at_once.packets += u64::from(is_heard);
                score.with_pre_roll.packets += u64::from(is_heard);
                let new = Onset {
                    first_us: packet.at_us,
                    last_us: packet.at_us,
                    at_once_us: None,
                    with_pre_roll_us: None,
                };
                let onset = onsets.entry(spurt).or_insert(new);
                onset.last_us = packet.at_us;
                if is_heard {
                    onset.at_once_us.get_or_insert(packet.at_us);
                    onset.with_pre_roll_us.get_or_insert(packet.at_us);
                }
            }
        }
        score.at_once.onsets_ms = onsets.values().map(|onset| onset.ms(onset.at_once_us)).collect();
        score.with_pre_roll.onsets_ms =
            onsets.values().map(|onset| onset.ms(onset.with_pre_roll_us)).collect();
        score.at_once.onsets_ms.sort_unstable();
        score.with_pre_roll.onsets_ms.sort_unstable();
        score
    }

    fn count_changes(
        &mut self,
        before: &[Option<u32>],
        slots: &[Option<u32>],
        speaking: &Speaking,
        at_us: u64,
    ) {
        for (was, is) in before.iter().zip(slots).filter(|(was, is)| was != is) {
            self.changes += 1;
            let Some(was) = was.filter(|was| !slots.contains(&Some(*was))) else {
                continue;
            };
            if speaking.is(was, at_us) {
                self.cuts += 1;
                self.cuts_for_noise += u64::from(is.is_some_and(|is| !speaking.is(is, at_us)));
            }
        }
    }

    /// Both together.
    pub(crate) fn merge(&mut self, other: &Score) {
        self.spoken += other.spoken;
        self.at_once.merge(&other.at_once);
        self.with_pre_roll.merge(&other.with_pre_roll);
        self.changes += other.changes;
        self.cuts += other.cuts;
        self.cuts_for_noise += other.cuts_for_noise;
        self.minutes += other.minutes;
    }

    /// Share of what was spoken that was heard at once, percent.
    pub(crate) fn kept_percent(&self) -> f64 {
        self.percent(&self.at_once)
    }

    /// Share of what was spoken that was heard, percent.
    pub(crate) fn percent(&self, heard: &Heard) -> f64 {
        100.0 * heard.packets as f64 / self.spoken.max(1) as f64
    }

    /// Changes a spurt.
    pub(crate) fn changes_a_spurt(&self) -> f64 {
        self.changes as f64 / self.at_once.onsets_ms.len().max(1) as f64
    }

    /// A count, a minute.
    pub(crate) fn a_minute(&self, count: u64) -> f64 {
        count as f64 / self.minutes
    }
}

/// Who speaks at a time.
pub(crate) struct Speaking(BTreeMap<u32, Vec<Range<u64>>>);

impl Speaking {
    /// From the packets that arrived.
    pub(crate) fn new(trace: &Trace) -> Speaking {
        let mut spoken: BTreeMap<u32, (u32, u64, u64)> = BTreeMap::new();
        for packet in &trace.packets {
            if let Some(spurt) = packet.spurt {
                let entry = spoken.entry(spurt).or_insert((packet.source, packet.at_us, packet.at_us));
                entry.2 = packet.at_us;
            }
        }
        let mut by_source: BTreeMap<u32, Vec<Range<u64>>> = BTreeMap::new();
        for (source, from, to) in spoken.into_values() {
            by_source.entry(source).or_default().push(from..to);
        }
        for intervals in by_source.values_mut() {
            intervals.sort_unstable_by_key(|interval| interval.start);
        }
        Speaking(by_source)
    }

    /// The spurts of a source, microseconds.
    pub(crate) fn of(&self, source: u32) -> &[Range<u64>] {
        self.0.get(&source).map_or(&[], Vec::as_slice)
    }

    /// Whether a source is within a spurt.
    pub(crate) fn is(&self, source: u32, at_us: u64) -> bool {
        let Some(intervals) = self.0.get(&source) else {
            return false;
        };
        let next = intervals.partition_point(|interval| interval.start <= at_us);
        next > 0 && intervals[next - 1].end > at_us
    }
}
