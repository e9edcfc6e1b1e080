//! Observations in, changes of positions out.

use std::time::Duration;

use arrayvec::ArrayVec;
use rustc_hash::FxHashMap;

use crate::{Level, Params, SLOTS_MAX};

/// A track that competes for a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceId(pub u32);

/// What was seen of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Observation {
    /// An audio packet arrived.
    Packet {
        /// RFC 6464.
        level: Level,
        /// RFC 6464's V bit, where the sender gives it. Not trusted alone: Chromium sets it on
        /// every packet unless DTX is on.
        voice: Option<bool>,
    },
    /// The source is known to be silent from now on: muted, or its packets ended.
    Silence,
}

/// A position has another occupant now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// 0 to `slots - 1` are the main positions, `slots` is the reserve.
    pub position: usize,
    /// Who is there now; `None` if nobody.
    pub source: Option<SourceId>,
}

/// The changes of one call, at most one a position, in the order of positions.
pub type Changes = ArrayVec<Change, POSITIONS_MAX>;

/// The occupants: main positions first, the reserve last.
pub type Positions = ArrayVec<Option<SourceId>, POSITIONS_MAX>;

const POSITIONS_MAX: usize = SLOTS_MAX + 1;

/// Smoothed levels are in 1/256 dB, so that slow decay doesn't stall in rounding.
const SMOOTH_UNIT: i32 = 256;

#[derive(Clone)]
struct Source {
    smooth: i32,
    active_at: Option<Duration>,
    /// Since when it has been louder, by the margin, than the weakest main position.
    challenging_since: Option<Duration>,
}

#[derive(Clone)]
struct Occupant {
    source: SourceId,
    since: Duration,
    // Copies of what ranks it: an occupant is compared at each packet of everybody else.
    smooth: i32,
    active_at: Duration,
}

/// Chooses the speakers of a room.
///
/// ```text
///            active packet and a free main position, or an idle or a clearly weaker occupant
///  candidate ────────────────────────────────────────────────────────────────▶ main position
///      │  ▲                                                                      │      ▲
///      │  │ displaced, idle or silent                       displaced while active │      │ as above
///      │  └──────────────────────────── reserve ◀────────────────────────────────┘      │
///      └── active, louder than the reserve ──▶ └────────────────────────────────────────┘
/// ```
///
/// A position becomes free when its occupant was not active for `release_after`, fell silent, or left.
#[derive(Clone)]
pub struct Selector {
    params: Params,
    sources: FxHashMap<SourceId, Source>,
    positions: ArrayVec<Option<Occupant>, POSITIONS_MAX>,
}

impl Selector {
    /// A selector with nobody in its positions.
    pub fn new(params: Params) -> Selector {
        let count = params.slots.clamp(1, SLOTS_MAX) + 1;
        Selector { params, sources: FxHashMap::default(), positions: (0..count).map(|_| None).collect() }
    }

    /// Takes note of a packet, or of silence, and decides. `now` counts from any fixed origin;
    /// a `now` before an earlier one is taken as no time having passed.
    pub fn observe(&mut self, now: Duration, source: SourceId, observation: Observation) -> Changes {
        let before = self.occupied();
        match observation {
            Observation::Packet { level, voice } => self.packet(now, source, level, voice),
            Observation::Silence => self.silence(source),
        }
        self.release_idle(now);
        self.changes_since(&before)
    }

    /// Forgets a source.
    pub fn remove(&mut self, source: SourceId) -> Changes {
        let before = self.occupied();
        self.silence(source);
        self.sources.remove(&source);
        self.changes_since(&before)
    }

    /// Forgets all sources but those that `keep` accepts.
    pub fn retain(&mut self, keep: impl Fn(SourceId) -> bool) -> Changes {
        let before = self.occupied();
        self.sources.retain(|&source, _| keep(source));
        for position in &mut self.positions {
            *position = position.take().filter(|occupant| keep(occupant.source));
        }
        self.changes_since(&before)
    }

    /// Frees the positions of sources that stopped sending. Due at [`Selector::next_timeout`].
    pub fn tick(&mut self, now: Duration) -> Changes {
        let before = self.occupied();
        self.release_idle(now);
        self.changes_since(&before)
    }

    /// When [`Selector::tick`] is due if no packet arrives before.
    pub fn next_timeout(&self) -> Option<Duration> {
        let oldest = self.positions.iter().flatten().map(|o| o.active_at).min();
        oldest.map(|at| at + self.params.release_after)
    }

    /// Who is where: main positions, then the reserve.
    pub fn positions(&self) -> Positions {
        self.occupied()
    }

    /// The smoothed loudness of a source; silence for one that is not known.
    pub fn level(&self, source: SourceId) -> Level {
        let db = self.sources.get(&source).map_or(0, |s| s.smooth / SMOOTH_UNIT);
        Level::from_dbov((db - 127).clamp(-127, 0) as i8)
    }

    /// The number of main positions.
    pub fn slots(&self) -> usize {
        self.positions.len() - 1
    }

    fn packet(&mut self, now: Duration, id: SourceId, level: Level, voice: Option<bool>) {
        let source =
            self.sources.entry(id).or_insert(Source { smooth: 0, active_at: None, challenging_since: None });
        source.smooth = smoothed(source.smooth, level);
        let active = self.params.is_active(level, voice);
        if active {
            source.active_at = Some(now);
        }
        let candidate = Occupant { source: id, since: now, smooth: source.smooth, active_at: now };
        let held = self.position_of(id);
        if let Some(occupant) = held.and_then(|p| self.positions[p].as_mut()) {
            occupant.smooth = candidate.smooth;
            if active {
                occupant.active_at = now;
            }
        }
        let in_main = held.is_some_and(|position| position < self.slots());
        if active && !in_main {
            self.compete(now, candidate);
        }
    }

    /// An active source that has no main position asks for one.
    fn compete(&mut self, now: Duration, candidate: Occupant) {
        let source = candidate.source;
        if let Some(position) = self.free_main().or_else(|| self.idle_main(now)) {
            self.take_main(now, position, candidate);
            return;
        }
        let weakest = self.weakest_main();
        let Some(occupant) = &self.positions[weakest] else {
            return;
        };
        let margin = i32::from(self.params.margin_db) * SMOOTH_UNIT;
        let louder = candidate.smooth >= occupant.smooth + margin;
        let held_long_enough = now.saturating_sub(occupant.since) >= self.params.hold_for;
        let challenge = self.sources.get_mut(&source).map(|s| &mut s.challenging_since);
        let challenged_long_enough = challenge.is_some_and(|since| {
            *since = if louder { since.or(Some(now)) } else { None };
            since.is_some_and(|since| now.saturating_sub(since) >= self.params.challenge_for)
        });
        if challenged_long_enough && held_long_enough {
            self.take_main(now, weakest, candidate);
        } else {
            self.offer_to_reserve(now, candidate);
        }
    }

    fn take_main(&mut self, now: Duration, position: usize, candidate: Occupant) {
        let reserve = self.slots();
        if self.position_of(candidate.source) == Some(reserve) {
            self.positions[reserve] = None;
        }
        if let Some(source) = self.sources.get_mut(&candidate.source) {
            source.challenging_since = None;
        }
        let displaced = self.positions[position].replace(candidate);
        // A source displaced while it speaks is the best next in line there is.
        if let Some(displaced) = displaced
            && now.saturating_sub(displaced.active_at) < self.params.yield_after
        {
            self.offer_to_reserve(now, displaced);
        }
    }

    fn offer_to_reserve(&mut self, now: Duration, candidate: Occupant) {
        let reserve = self.slots();
        // Half the margin: the reserve is heard by the few who talk, so a change costs less.
        let margin = i32::from(self.params.margin_db) * SMOOTH_UNIT / 2;
        let taken = self.positions[reserve].as_ref().is_some_and(|occupant| {
            let idle = now.saturating_sub(occupant.active_at) >= self.params.yield_after;
            let same = occupant.source == candidate.source;
            same || !(idle || candidate.smooth > occupant.smooth + margin)
        });
        if !taken {
            self.positions[reserve] = Some(candidate);
        }
    }

    fn silence(&mut self, id: SourceId) {
        if let Some(source) = self.sources.get_mut(&id) {
            *source = Source { smooth: 0, active_at: None, challenging_since: None };
        }
        if let Some(position) = self.position_of(id) {
            self.positions[position] = None;
        }
    }

    fn release_idle(&mut self, now: Duration) {
        for position in &mut self.positions {
            let idle_since = position.as_ref().map(|occupant| occupant.active_at);
            if idle_since.is_some_and(|at| now.saturating_sub(at) >= self.params.release_after) {
                *position = None;
            }
        }
    }

    fn free_main(&self) -> Option<usize> {
        let slots = self.slots();
        self.positions[..slots].iter().position(Option::is_none)
    }

    /// The main position whose occupant has been idle longest, if it has to yield.
    fn idle_main(&self, now: Duration) -> Option<usize> {
        let slots = self.slots();
        let occupants = self.positions[..slots].iter().enumerate();
        let (position, active_at) = occupants
            .filter_map(|(position, o)| o.as_ref().map(|o| (position, o.active_at)))
            .min_by_key(|&(_, active_at)| active_at)?;
        (now.saturating_sub(active_at) >= self.params.yield_after).then_some(position)
    }

    fn weakest_main(&self) -> usize {
        let occupants = self.positions[..self.slots()].iter().enumerate();
        let loudness = |o: &Option<Occupant>| o.as_ref().map_or(0, |o| o.smooth);
        occupants.min_by_key(|(_, o)| loudness(o)).map_or(0, |(position, _)| position)
    }

    fn position_of(&self, id: SourceId) -> Option<usize> {
        self.positions.iter().position(|o| o.as_ref().is_some_and(|o| o.source == id))
    }

    fn occupied(&self) -> Positions {
        self.positions.iter().map(|o| o.as_ref().map(|o| o.source)).collect()
    }

    fn changes_since(&self, before: &Positions) -> Changes {
        let after = self.occupied();
        let pairs = before.iter().zip(&after).enumerate();
        pairs
            .filter(|(_, (before, after))| before != after)
            .map(|(position, (_, &source))| Change { position, source })
            .collect()
    }
}

impl Params {
    fn is_active(&self, level: Level, voice: Option<bool>) -> bool {
        let threshold_db = match voice {
            Some(false) => self.active_level.db_above_silence().saturating_add(self.unvoiced_penalty_db),
            Some(true) | None => self.active_level.db_above_silence(),
        };
        level.db_above_silence() >= threshold_db
    }
}

/// Attack by halves, so that a first syllable counts at once; decay by sixteenths (about 300 ms at
/// 20 ms a packet), so that a syllable's end does not.
fn smoothed(smooth: i32, level: Level) -> i32 {
    let level = i32::from(level.db_above_silence()) * SMOOTH_UNIT;
    if level > smooth { smooth + (level - smooth + 1) / 2 } else { smooth - (smooth - level + 15) / 16 }
}

#[cfg(test)]
mod tests;
