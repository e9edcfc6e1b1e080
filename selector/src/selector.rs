//! Observations in, changes of positions out.

use std::collections::hash_map::Entry;
use std::time::Duration;

use rustc_hash::FxHashMap;

use crate::activity::{Activity, SMOOTH_UNIT};
use crate::candidate::{Candidate, Standing};
use crate::change::{Changes, Positions};
use crate::ranking::Ranking;
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
/// A position yields, at once, where its occupant is noise; where it has been silent for
/// [`Params::yield_to_onset_after`] to somebody who begins to speak; where it has been silent for
/// [`Params::yield_after`] to anybody who speaks, or sooner if it said no more than a word; and where
/// it is active to a challenger who has been louder for long. Of several the noise yields first, then the one silent for longest. A position is
/// free when its occupant was not heard for [`Params::release_after`], fell silent, or left.
///
/// Where the packets of a room arrive at several selectors, on several threads or machines, each judges its own
/// ([`Selector::judge`]) and ranks them ([`Selector::rank`]). Of a source that has a position then, it sends the
/// candidate with its claim ([`Selector::with_claim`]) to the others, which rank it too. All have the same positions
/// then, those that one selector of all packets would have, and what they send each other are the packets of K+1
/// sources, however many selectors there are.
#[derive(Clone, Debug)]
pub struct Selector {
    params: Params,
    sources: FxHashMap<SourceId, Activity>,
    standings: FxHashMap<SourceId, Standing>,
    standing_of_others: Option<Standing>,
    ranking: Ranking,
}

impl Selector {
    /// A selector with nobody in its positions.
    pub fn new(params: Params) -> Selector {
        let slots = params.slots.clamp(1, SLOTS_MAX);
        Selector {
            params,
            sources: FxHashMap::default(),
            standings: FxHashMap::default(),
            standing_of_others: None,
            ranking: Ranking::new(slots),
        }
    }

    /// Takes note of a packet, or of silence, and decides. `now` counts from any fixed origin;
    /// a `now` before an earlier one is taken as no time having passed.
    pub fn observe(&mut self, now: Duration, source: SourceId, observation: Observation) -> Changes {
        match observation {
            Observation::Packet { level, voice } => {
                let candidate = self.judge(now, source, level, voice);
                self.rank(now, &candidate)
            }
            Observation::Silence => self.silence(source),
        }
    }

    /// Takes note of a packet, and says what it is worth, without deciding.
    pub fn judge(&mut self, now: Duration, source: SourceId, level: Level, voice: Option<bool>) -> Candidate {
        let standing = self.own_standing(source).unwrap_or_default();
        let count = self.sources.len() + 1;
        let activity = match self.sources.entry(source) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => {
                self.ranking.expect_sources(count);
                new.insert(Activity::new())
            }
        };
        activity.judge(now, (source, standing), (level, voice), &self.params)
    }

    /// Decides about a packet that was judged, here or elsewhere. A standing that is set here comes before the
    /// candidate's own.
    pub fn rank(&mut self, now: Duration, candidate: &Candidate) -> Changes {
        let standing = self.own_standing(candidate.source).unwrap_or(candidate.standing);
        self.ranking.release_idle(now, &self.params);
        self.ranking.rank(now, &Candidate { standing, ..*candidate }, &self.params);
        self.ranking.take_changes()
    }

    /// The candidate as the other selectors of the room have to see it; `None` for one without a position, which
    /// they needn't see.
    pub fn with_claim(&self, candidate: &Candidate) -> Option<Candidate> {
        let claim = self.ranking.claim(candidate.source)?;
        Some(Candidate { claim: Some(claim), ..*candidate })
    }

    /// Counts the changes that this selector has heard of: what a new one of the room has to know, or its claims
    /// come before all that is.
    pub fn turn(&self) -> u64 {
        self.ranking.turn()
    }

    /// Takes over the count of another selector of the room.
    pub fn catch_up(&mut self, turn: u64) {
        self.ranking.catch_up(turn);
    }

    /// The source is silent from now on.
    fn silence(&mut self, source: SourceId) -> Changes {
        if let Some(activity) = self.sources.get_mut(&source) {
            activity.silence();
        }
        self.ranking.free(source);
        self.ranking.take_changes()
    }

    /// Forgets a source, but for its standing.
    pub fn remove(&mut self, source: SourceId) -> Changes {
        let changes = self.silence(source);
        self.sources.remove(&source);
        changes
    }

    /// Sets how a source stands from its next packet on, or, with `None`, lets others decide. One that is excluded
    /// loses its position now.
    pub fn set_standing(&mut self, source: SourceId, standing: Option<Standing>) -> Changes {
        match standing {
            Some(standing) => self.standings.insert(source, standing),
            None => self.standings.remove(&source),
        };
        self.free_excluded()
    }

    /// The sources that have a standing of their own.
    pub fn standings(&self) -> impl Iterator<Item = (SourceId, Standing)> {
        self.standings.iter().map(|(&source, &standing)| (source, standing))
    }

    /// Sets how all sources stand that have no standing of their own: where they are excluded, those which have one
    /// are the list that is heard.
    pub fn set_standing_of_others(&mut self, standing: Option<Standing>) -> Changes {
        self.standing_of_others = standing;
        self.free_excluded()
    }

    /// Frees the positions of sources that stopped sending. Due at [`Selector::next_timeout`].
    pub fn tick(&mut self, now: Duration) -> Changes {
        self.ranking.release_idle(now, &self.params);
        self.ranking.take_changes()
    }

    /// When [`Selector::tick`] is due if no packet arrives before.
    pub fn next_timeout(&self) -> Option<Duration> {
        self.ranking.next_timeout(&self.params)
    }

    /// Who is where: main positions, then the reserve.
    pub fn positions(&self) -> Positions {
        self.ranking.positions()
    }

    /// Where a source is; `None` for one without a position.
    pub fn position_of(&self, source: SourceId) -> Option<usize> {
        self.ranking.position_of(source)
    }

    /// The smoothed loudness of a source; silence for one that is not known.
    pub fn level(&self, source: SourceId) -> Level {
        let judged_here = || self.sources.get(&source).map(Activity::loudness);
        let loudness = self.ranking.loudness(source).or_else(judged_here);
        let db = loudness.map_or(0, |loudness| loudness / SMOOTH_UNIT);
        Level::from_dbov((db - 127).clamp(-127, 0) as i8)
    }

    /// When a source that has a position last spoke, and when it was last to be heard, be it speech or not; `None` for one that has
    /// none, or never did. Of one that fell silent [`Selector::level`] is how loud its voice was.
    pub fn last_heard(&self, source: SourceId) -> (Option<Duration>, Option<Duration>) {
        self.ranking.last_heard(source)
    }

    /// The noise of a source whose packets were judged here; `None` for another.
    pub fn noise_floor(&self, source: SourceId) -> Option<Level> {
        self.sources.get(&source).map(Activity::floor)
    }

    /// The number of main positions.
    pub fn slots(&self) -> usize {
        self.ranking.slots()
    }

    /// What it decides by.
    pub fn params(&self) -> &Params {
        &self.params
    }

    fn own_standing(&self, source: SourceId) -> Option<Standing> {
        // The usual room has no standings: nothing is looked up for each packet.
        let own = if self.standings.is_empty() { None } else { self.standings.get(&source).copied() };
        own.or(self.standing_of_others)
    }

    fn free_excluded(&mut self) -> Changes {
        for source in self.positions().into_iter().flatten() {
            if self.own_standing(source) == Some(Standing::Excluded) {
                self.ranking.free(source);
            }
        }
        self.ranking.take_changes()
    }
}

#[cfg(test)]
mod tests;
