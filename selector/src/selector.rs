//! Observations in, changes of positions out.

use std::time::Duration;

use arrayvec::ArrayVec;
use rustc_hash::FxHashMap;

use crate::activity::{Activity, Heard, SMOOTH_UNIT};
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

/// Who holds a position. What ranks an occupant is copied at each packet of theirs: they are compared at
/// each packet of everybody else.
#[derive(Clone)]
struct Occupant {
    source: SourceId,
    since: Duration,
    loudness: i32,
    /// When it last spoke; `None` for one that never did.
    active_at: Option<Duration>,
    /// When it was last worth hearing: active, or steady and loud.
    heard_at: Duration,
    /// No talker: a steady sound, or one of bangs.
    noise: bool,
}

#[derive(Clone)]
struct Source {
    activity: Activity,
    /// Since when it has been louder, by the margin, than the weakest main position.
    challenging_since: Option<Duration>,
}

/// Chooses the speakers of a room.
///
/// ```text
///              a free main position, or one that has to yield (see below)
///  candidate ──────────────────────────────────────────────────────────────▶ main position
///      │  ▲                                                                    │      ▲
///      │  │ displaced, idle or silent                     displaced while active │      │ as above
///      │  └──────────────────────────── reserve ◀──────────────────────────────┘      │
///      └── active, louder than the reserve ──▶ └──────────────────────────────────────┘
/// ```
///
/// A position yields, at once, where its occupant is a steady sound; where it has been silent for
/// [`Params::yield_to_onset_after`] to somebody who begins to speak; where it has been silent for
/// [`Params::yield_after`] to anybody who speaks; and where it is active to a challenger who has been
/// louder for long. Of several the steadiest yields first, then the one silent for longest. A position is
/// free when its occupant was not heard for [`Params::release_after`], fell silent, or left.
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
        let oldest = self.positions.iter().flatten().map(|o| o.heard_at).min();
        oldest.map(|at| at + self.params.release_after)
    }

    /// Who is where: main positions, then the reserve.
    pub fn positions(&self) -> Positions {
        self.occupied()
    }

    /// The smoothed loudness of a source; silence for one that is not known.
    pub fn level(&self, source: SourceId) -> Level {
        let db = self.sources.get(&source).map_or(0, |s| s.activity.loudness() / SMOOTH_UNIT);
        Level::from_dbov((db - 127).clamp(-127, 0) as i8)
    }

    /// The number of main positions.
    pub fn slots(&self) -> usize {
        self.positions.len() - 1
    }

    fn packet(&mut self, now: Duration, id: SourceId, level: Level, voice: Option<bool>) {
        let new = || Source { activity: Activity::new(), challenging_since: None };
        let source = self.sources.entry(id).or_insert_with(new);
        let heard = source.activity.packet(now, level, voice, &self.params);
        let loudness = source.activity.loudness();
        let bangs = source.activity.bangs() && !source.activity.is_believed(self.params.bang_below);
        let noise = heard == Heard::Steady || bangs;
        let held = self.position_of(id);
        if let Some(occupant) = held.and_then(|p| self.positions[p].as_mut()) {
            occupant.loudness = loudness;
            occupant.noise = noise;
            if heard == Heard::Active {
                occupant.active_at = Some(now);
            }
            if heard != Heard::Quiet {
                occupant.heard_at = now;
            }
        }
        if held.is_some_and(|position| position < self.slots()) {
            return;
        }
        let active_at = (heard == Heard::Active).then_some(now);
        let candidate = Occupant { source: id, since: now, loudness, active_at, heard_at: now, noise };
        match heard {
            Heard::Active => self.compete(now, candidate),
            Heard::Steady => self.fill(now, candidate),
            Heard::Quiet => {}
        }
    }

    /// An active source that has no main position asks for one.
    fn compete(&mut self, now: Duration, candidate: Occupant) {
        let source = candidate.source;
        if let Some(position) = self.free_main().or_else(|| self.yielding_main(now, source)) {
            self.take_main(now, position, candidate);
            return;
        }
        let weakest = self.weakest_main(now);
        let challenges = self.challenges(now, weakest, &candidate);
        if challenges && self.is_believed(source) {
            self.take_main(now, weakest, candidate);
        } else {
            self.offer_to_reserve(now, candidate);
        }
    }

    /// A steady sound takes a position that nobody wants, or that of a steady sound which is less loud.
    fn fill(&mut self, now: Duration, candidate: Occupant) {
        if let Some(position) = self.free_main() {
            self.take_main(now, position, candidate);
            return;
        }
        let quietest = self.quietest_noise();
        if let Some(position) = quietest.filter(|&position| self.challenges(now, position, &candidate)) {
            self.take_main(now, position, candidate);
        } else {
            self.offer_to_reserve(now, candidate);
        }
    }

    /// Whether a candidate has been louder than an occupant, who has had its time, for long enough.
    fn challenges(&mut self, now: Duration, position: usize, candidate: &Occupant) -> bool {
        let Some(occupant) = &self.positions[position] else {
            return true;
        };
        let margin = i32::from(self.params.margin_db) * SMOOTH_UNIT;
        let louder = candidate.loudness >= occupant.loudness + margin;
        let held_long_enough = now.saturating_sub(occupant.since) >= self.params.hold_for;
        let Some(source) = self.sources.get_mut(&candidate.source) else {
            return false;
        };
        // A challenge is one spurt's: what was loud a minute ago counts no more.
        let spurt_since = source.activity.spurt_since();
        let began =
            source.challenging_since.filter(|&since| candidate.active_at.is_none() || since >= spurt_since);
        source.challenging_since = louder.then(|| began.unwrap_or(now));
        let challenged_for =
            source.challenging_since.map_or(Duration::ZERO, |since| now.saturating_sub(since));
        louder && held_long_enough && challenged_for >= self.params.challenge_for
    }

    /// The main position that has to yield to this source, which is active: a steady one, or the one silent for
    /// longest.
    fn yielding_main(&self, now: Duration, candidate: SourceId) -> Option<usize> {
        let params = &self.params;
        let activity = &self.sources.get(&candidate)?.activity;
        if activity.bangs() && !activity.is_believed(params.bang_below) {
            return None;
        }
        if let Some(position) = self.quietest_noise() {
            return Some(position);
        }
        let silent_for =
            |occupant: &Occupant| now.saturating_sub(occupant.active_at.unwrap_or(occupant.since));
        let occupants = self.positions[..self.slots()].iter().enumerate();
        let (position, silence) = occupants
            .filter_map(|(position, occupant)| Some((position, silent_for(occupant.as_ref()?))))
            .max_by_key(|&(_, silence)| silence)?;
        let is_onset = now.saturating_sub(activity.spurt_since()) < params.onset_within;
        let is_believed =
            silence >= params.yield_to_bang_after || activity.is_believed(params.believed_after);
        let yield_after = if is_onset { params.yield_to_onset_after } else { params.yield_after };
        (silence >= yield_after && is_believed).then_some(position)
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
            && self.is_speaking(now, &displaced)
        {
            self.offer_to_reserve(now, displaced);
        }
    }

    fn offer_to_reserve(&mut self, now: Duration, candidate: Occupant) {
        let reserve = self.slots();
        // Half the margin: the reserve is heard by the few who talk, so a change costs less.
        let margin = i32::from(self.params.margin_db) * SMOOTH_UNIT / 2;
        let taken = self.positions[reserve].as_ref().is_some_and(|occupant| {
            let same = occupant.source == candidate.source;
            let (speaks, candidate_speaks) =
                (self.is_speaking(now, occupant), self.is_speaking(now, &candidate));
            let idle = now.saturating_sub(occupant.heard_at) >= self.params.yield_to_bang_after;
            let louder = candidate.loudness > occupant.loudness + margin;
            // Speech comes before what is steady.
            same || if speaks == candidate_speaks { !idle && !louder } else { speaks }
        });
        if !taken {
            self.positions[reserve] = Some(candidate);
        }
    }

    /// Whether what is heard of a source now is no bang.
    fn is_believed(&self, source: SourceId) -> bool {
        let activity = self.sources.get(&source).map(|source| &source.activity);
        activity.is_some_and(|activity| activity.is_believed(self.params.believed_after))
    }

    fn is_speaking(&self, now: Duration, occupant: &Occupant) -> bool {
        occupant.active_at.is_some_and(|at| now.saturating_sub(at) < self.params.yield_to_bang_after)
    }

    fn silence(&mut self, id: SourceId) {
        if let Some(source) = self.sources.get_mut(&id) {
            source.activity.silence();
            source.challenging_since = None;
        }
        if let Some(position) = self.position_of(id) {
            self.positions[position] = None;
        }
    }

    fn release_idle(&mut self, now: Duration) {
        for position in &mut self.positions {
            let heard_at = position.as_ref().map(|occupant| occupant.heard_at);
            if heard_at.is_some_and(|at| now.saturating_sub(at) >= self.params.release_after) {
                *position = None;
            }
        }
    }

    fn free_main(&self) -> Option<usize> {
        let slots = self.slots();
        self.positions[..slots].iter().position(Option::is_none)
    }

    fn quietest_noise(&self) -> Option<usize> {
        let occupants = self.positions[..self.slots()].iter().enumerate();
        occupants
            .filter_map(|(position, o)| Some((position, o.as_ref().filter(|o| o.noise)?.loudness)))
            .min_by_key(|&(_, loudness)| loudness)
            .map(|(position, _)| position)
    }

    /// The main position that an active challenger has to beat: of those who had their time, the least loud.
    fn weakest_main(&self, now: Duration) -> usize {
        let occupants = self.positions[..self.slots()].iter().enumerate();
        let rank = |o: &Option<Occupant>| {
            o.as_ref()
                .map_or((false, 0), |o| (now.saturating_sub(o.since) < self.params.hold_for, o.loudness))
        };
        occupants.min_by_key(|(_, o)| rank(o)).map_or(0, |(position, _)| position)
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

#[cfg(test)]
mod tests;
