//! The packets of sources that aren't heard yet: kept for a moment, so that a first syllable isn't lost to the decision.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use arrayvec::ArrayVec;
use rustc_hash::FxHashMap;
use selector::{Level, SLOTS_MAX, SourceId};

use crate::AudioPacket;

/// No pre-roll is longer: it would be heard as a delay.
pub const PRE_ROLL_MAX: Duration = Duration::from_millis(100);

/// Whoever interrupts waits so long, until they are believed: see docs/adr/0016-pre-roll.md.
pub const PRE_ROLL_DEFAULT: Duration = Duration::from_millis(100);

/// The duration of a packet: what RFC 7587, section 3.3, calls the default.
const FRAME: Duration = Duration::from_millis(20);

/// A packet that waits this much longer than its place in the ring means is from before a pause.
const JITTER_MAX: Duration = Duration::from_millis(40);

/// A packet that is so much louder than its source's noise is no pause: it may be the soft beginning of a syllable.
const FAINT_DB: i8 = 4;

const TICKS_PER_MS: u32 = 48;

/// A packet from before its source was heard by everybody.
#[derive(Clone, Debug, PartialEq)]
pub struct Earlier {
    /// As it arrived.
    pub packet: AudioPacket,
    /// Who heard it or one after it, as the reserve of those who had the slots: to them it is too late for this one.
    pub heard_by: Vec<SourceId>,
}

/// Those who had the slots.
pub(crate) type HeardBy = ArrayVec<SourceId, SLOTS_MAX>;

/// A packet in the ring.
struct Kept {
    at: Instant,
    packet: AudioPacket,
    heard_by: HeardBy,
}

/// The last packets of each source that has no slot.
pub(crate) struct PreRoll {
    packets_max: usize,
    age_max: Duration,
    recent: FxHashMap<SourceId, VecDeque<Kept>>,
}

impl PreRoll {
    /// Keeps so much of each source, up to [`PRE_ROLL_MAX`].
    pub(crate) fn new(length: Duration) -> PreRoll {
        let length = length.min(PRE_ROLL_MAX);
        let packets_max = length.as_millis().div_ceil(FRAME.as_millis()) as usize;
        PreRoll { packets_max, age_max: length + JITTER_MAX, recent: FxHashMap::default() }
    }

    /// Keeps a packet, in place of the oldest.
    pub(crate) fn keep(&mut self, now: Instant, packet: &AudioPacket, heard_by: HeardBy) {
        if self.packets_max == 0 {
            return;
        }
        let new = || VecDeque::with_capacity(self.packets_max);
        let recent = self.recent.entry(packet.source).or_insert_with(new);
        if recent.len() == self.packets_max {
            recent.pop_front();
        }
        recent.push_back(Kept { at: now, packet: packet.clone(), heard_by });
    }

    /// The packets of the source that belong right before this one, in order: as far back as its onset, and as what
    /// came before that was no pause. Silence is not worth the delay.
    pub(crate) fn take(
        &mut self,
        now: Instant,
        first: &AudioPacket,
        onset_age: Duration,
        noise: Level,
    ) -> Vec<Earlier> {
        let Some(recent) = self.recent.get_mut(&first.source) else {
            return Vec::new();
        };
        let age_max = self.age_max;
        let lead_max = PRE_ROLL_MAX.as_millis() as u32 * TICKS_PER_MS;
        let onset_lead = onset_age.min(PRE_ROLL_MAX).as_millis() as u32 * TICKS_PER_MS;
        let faint = Level::from_dbov(noise.dbov().saturating_add(FAINT_DB));
        let mut taken: Vec<Kept> = recent.drain(..).collect();
        taken.retain(|Kept { at, packet, .. }| {
            let lead = first.timestamp.wrapping_sub(packet.timestamp);
            let is_young = now.saturating_duration_since(*at) <= age_max;
            is_young && packet.epoch == first.epoch && packet.seq < first.seq && lead <= lead_max
        });
        taken.sort_by_key(|kept| kept.packet.seq);
        let (mut earlier, mut heard_by) = (Vec::with_capacity(taken.len()), Vec::new());
        let is_speech = |kept: &Kept| {
            let lead = first.timestamp.wrapping_sub(kept.packet.timestamp);
            lead <= onset_lead || kept.packet.level >= faint
        };
        for kept in taken.into_iter().rev().take_while(is_speech) {
            heard_by.extend(kept.heard_by);
            earlier.push(Earlier { packet: kept.packet, heard_by: heard_by.clone() });
        }
        earlier.reverse();
        earlier
    }

    /// Forgets a source.
    pub(crate) fn remove(&mut self, source: SourceId) {
        self.recent.remove(&source);
    }
}
