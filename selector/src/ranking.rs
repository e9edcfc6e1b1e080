//! Candidates in; who has which position, and why, out.

use std::time::Duration;

use arrayvec::ArrayVec;
use rustc_hash::FxHashMap;

use crate::activity::SMOOTH_UNIT;
use crate::candidate::{Candidate, Claim, Heard, Standing};
use crate::change::{Change, Changes, POSITIONS_MAX, Positions, Reason};
use crate::occupant::Occupant;
use crate::{Params, SourceId};

/// The positions of a selector.
#[derive(Clone, Debug)]
pub(crate) struct Ranking {
    occupants: ArrayVec<Option<Occupant>, POSITIONS_MAX>,
    /// Why each position was last taken or freed.
    reasons: ArrayVec<Reason, POSITIONS_MAX>,
    /// Who was where when the changes were last taken, and whether somebody came or went since.
    told: Positions,
    is_touched: bool,
    /// Since when a source has been louder, by the margin, than the weakest main position.
    challenging_since: FxHashMap<SourceId, Duration>,
    turn: u64,
}

impl Ranking {
    pub(crate) fn new(slots: usize) -> Ranking {
        Ranking {
            occupants: (0..=slots).map(|_| None).collect(),
            reasons: (0..=slots).map(|_| Reason::Idle).collect(),
            told: (0..=slots).map(|_| None).collect(),
            is_touched: false,
            challenging_since: FxHashMap::default(),
            turn: 0,
        }
    }

    /// Makes room for what is remembered of so many sources, so that their packets don't.
    pub(crate) fn expect_sources(&mut self, count: usize) {
        // Twice as many, or the table would grow with the traces that former entries leave.
        let missing = (2 * count).saturating_sub(self.challenging_since.len());
        self.challenging_since.reserve(missing);
    }

    /// Ranks a packet.
    pub(crate) fn rank(&mut self, now: Duration, candidate: &Candidate, params: &Params) {
        if candidate.standing == Standing::Excluded {
            self.free(candidate.source);
            return;
        }
        if let Some(claim) = candidate.claim {
            self.adopt(now, candidate, claim, params);
            return;
        }
        let held = self.position_of(candidate.source);
        if let Some(occupant) = held.and_then(|position| self.occupants[position].as_mut()) {
            occupant.refresh(now, candidate);
        }
        if held.is_some_and(|position| position < self.slots()) {
            return;
        }
        let taken = match (candidate.standing, candidate.heard) {
            (Standing::Pinned, _) => self.main_for_pinned(now, candidate, params),
            (_, Heard::Active) => self.main_for_speech(now, candidate, params),
            (_, Heard::Steady) => self.main_for_hum(now, candidate, params),
            (_, Heard::Quiet) => return,
        };
        match taken {
            Some((position, reason)) => self.take(now, position, reason, candidate, params),
            None => self.offer_to_reserve(now, candidate, params),
        }
    }

    /// Another selector has given a position.
    fn adopt(&mut self, now: Duration, candidate: &Candidate, claim: Claim, params: &Params) {
        let Some(place) = self.occupants.get_mut(claim.position) else {
            return;
        };
        match place {
            Some(occupant) if occupant.source == candidate.source => {
                occupant.refresh(now, candidate);
                occupant.turn = occupant.turn.max(claim.turn);
            }
            Some(occupant) if (occupant.turn, occupant.source) > (claim.turn, candidate.source) => {}
            _ => {
                self.free_for(candidate.source, Reason::Moved);
                self.occupy(now, claim.position, claim.turn, Reason::Claimed, candidate, params);
            }
        }
        self.turn = self.turn.max(claim.turn);
    }

    /// Whoever is pinned takes the position of the least of those who aren't.
    fn main_for_pinned(
        &self,
        now: Duration,
        candidate: &Candidate,
        params: &Params,
    ) -> Option<(usize, Reason)> {
        if let Some(position) = self.free_main() {
            return Some((position, Reason::Free));
        }
        let position = self.least_below(now, candidate.standing, params)?;
        Some((position, Reason::Standing))
    }

    /// The main position for an active source that has none.
    fn main_for_speech(
        &mut self,
        now: Duration,
        candidate: &Candidate,
        params: &Params,
    ) -> Option<(usize, Reason)> {
        if let Some(position) = self.free_main() {
            return Some((position, Reason::Free));
        }
        if candidate.is_denied {
            return None;
        }
        if let Some(yielding) = self.yielding_main(now, candidate, params) {
            return Some(yielding);
        }
        if candidate.standing > Standing::Ordinary
            && candidate.is_believed
            && let Some(position) = self.least_below(now, candidate.standing, params)
        {
            return Some((position, Reason::Standing));
        }
        let position = self.weakest_main(now, candidate.standing, params)?;
        let challenge = self.challenge(now, position, candidate, params)?;
        candidate.is_believed.then_some((position, challenge))
    }

    /// The main position for a steady sound: one that nobody wants, or that of noise which is less loud.
    fn main_for_hum(
        &mut self,
        now: Duration,
        candidate: &Candidate,
        params: &Params,
    ) -> Option<(usize, Reason)> {
        if let Some(position) = self.free_main() {
            return Some((position, Reason::Free));
        }
        let position = self.quietest_noise(candidate.standing)?;
        let challenge = self.challenge(now, position, candidate, params)?;
        Some((position, challenge))
    }

    /// Whether a candidate has been louder than an occupant, who has had its time, for long enough.
    fn challenge(
        &mut self,
        now: Duration,
        position: usize,
        candidate: &Candidate,
        params: &Params,
    ) -> Option<Reason> {
        let occupant = self.occupants[position].as_ref()?;
        let margin = i32::from(params.margin_db) * SMOOTH_UNIT;
        let louder_by = candidate.loudness - occupant.loudness;
        if louder_by < margin {
            self.challenging_since.remove(&candidate.source);
            return None;
        }
        let held_long_enough = now.saturating_sub(occupant.since) >= params.hold_for;
        let since = self.challenging_since.entry(candidate.source).or_insert(now);
        // A challenge is one spurt's: what was loud a minute ago counts no more.
        if candidate.heard == Heard::Active && *since < now.saturating_sub(candidate.spurt_age) {
            *since = now;
        }
        let challenged_for = now.saturating_sub(*since);
        let reason = Reason::Louder { by_db: (louder_by / SMOOTH_UNIT) as u8, challenged_for };
        (held_long_enough && challenged_for >= params.challenge_for).then_some(reason)
    }

    /// The main position that has to yield to this source, which is active: one of noise, or the one silent for
    /// longest.
    fn yielding_main(
        &self,
        now: Duration,
        candidate: &Candidate,
        params: &Params,
    ) -> Option<(usize, Reason)> {
        if candidate.is_bang {
            return None;
        }
        if candidate.is_proven
            && let Some(position) = self.quietest_noise(candidate.standing)
        {
            return Some((position, Reason::Noise));
        }
        // Who has priority is not interrupted in the pauses of a sentence.
        let yields = |o: &Occupant| o.standing <= candidate.standing || o.silence(now) >= params.yield_after;
        let (position, occupant) =
            self.unpinned().filter(|(_, o)| yields(o)).max_by_key(|(_, o)| o.silence(now))?;
        let silent_for = occupant.silence(now);
        let is_onset = candidate.spurt_age < params.onset_within;
        let is_believed = silent_for >= params.yield_to_bang_after || candidate.is_believed;
        let yields_soon = is_onset || occupant.was_brief();
        let yield_after = if yields_soon { params.yield_to_onset_after } else { params.yield_after };
        (silent_for >= yield_after && is_believed).then_some((position, Reason::Silent { silent_for }))
    }

    /// The candidate takes a position that this selector gives.
    fn take(
        &mut self,
        now: Duration,
        position: usize,
        reason: Reason,
        candidate: &Candidate,
        params: &Params,
    ) {
        self.free_for(candidate.source, Reason::Moved);
        self.turn = self.turn.saturating_add(1);
        self.occupy(now, position, self.turn, reason, candidate, params);
    }

    fn occupy(
        &mut self,
        now: Duration,
        position: usize,
        turn: u64,
        reason: Reason,
        candidate: &Candidate,
        params: &Params,
    ) {
        self.challenging_since.remove(&candidate.source);
        let displaced = self.set(position, Some(Occupant::new(now, turn, candidate)), reason);
        // A source displaced while it speaks is the best next in line there is.
        let reserve = self.slots();
        if let Some(displaced) = displaced
            && position < reserve
            && displaced.is_speaking(now, params)
            && self.is_next_in_line(now, &displaced, params)
        {
            self.set(reserve, Some(Occupant { since: now, turn, ..displaced }), Reason::Displaced);
        }
    }

    fn offer_to_reserve(&mut self, now: Duration, candidate: &Candidate, params: &Params) {
        let occupant = Occupant::new(now, self.turn.saturating_add(1), candidate);
        if self.is_next_in_line(now, &occupant, params) {
            self.turn = self.turn.saturating_add(1);
            self.set(self.slots(), Some(occupant), Reason::NextInLine);
        }
    }

    /// Whether a source comes before whoever has the reserve.
    fn is_next_in_line(&self, now: Duration, candidate: &Occupant, params: &Params) -> bool {
        let Some(occupant) = &self.occupants[self.slots()] else {
            return true;
        };
        if occupant.source == candidate.source {
            return false;
        }
        let rank = |o: &Occupant| (o.standing, o.is_speaking(now, params));
        if rank(candidate) != rank(occupant) {
            // Speech comes before what is steady.
            return rank(candidate) > rank(occupant);
        }
        // Half the margin: the reserve is heard by the few who talk, so a change costs less.
        let margin = i32::from(params.margin_db) * SMOOTH_UNIT / 2;
        let idle = now.saturating_sub(occupant.heard_at) >= params.yield_to_bang_after;
        idle || candidate.loudness > occupant.loudness + margin
    }

    /// Hears of what others counted.
    pub(crate) fn catch_up(&mut self, turn: u64) {
        self.turn = self.turn.max(turn);
    }

    pub(crate) fn turn(&self) -> u64 {
        self.turn
    }

    /// Frees the positions of those who weren't heard for long.
    pub(crate) fn release_idle(&mut self, now: Duration, params: &Params) {
        for position in 0..self.occupants.len() {
            let heard_at = self.occupants[position].as_ref().map(|occupant| occupant.heard_at);
            if heard_at.is_some_and(|at| now.saturating_sub(at) >= params.release_after) {
                self.set(position, None, Reason::Idle);
            }
        }
    }

    pub(crate) fn next_timeout(&self, params: &Params) -> Option<Duration> {
        let oldest = self.occupants.iter().flatten().map(|o| o.heard_at).min();
        oldest.map(|at| at + params.release_after)
    }

    /// The source is silent, or gone.
    pub(crate) fn free(&mut self, source: SourceId) {
        self.challenging_since.remove(&source);
        self.free_for(source, Reason::Gone);
    }

    fn free_for(&mut self, source: SourceId, reason: Reason) {
        if let Some(position) = self.position_of(source) {
            self.set(position, None, reason);
        }
    }

    /// All that comes and goes does so here. Returns who was there.
    fn set(&mut self, position: usize, occupant: Option<Occupant>, reason: Reason) -> Option<Occupant> {
        self.is_touched = true;
        self.reasons[position] = reason;
        std::mem::replace(&mut self.occupants[position], occupant)
    }

    pub(crate) fn claim(&self, source: SourceId) -> Option<Claim> {
        let position = self.position_of(source)?;
        let turn = self.occupants[position].as_ref()?.turn;
        Some(Claim { position, turn })
    }

    /// In 1/256 dB above silence; `None` for a source without a position.
    pub(crate) fn loudness(&self, source: SourceId) -> Option<i32> {
        self.occupants.iter().flatten().find(|o| o.source == source).map(|o| o.loudness)
    }

    /// When a source with a position last spoke, and when it was last to be heard.
    pub(crate) fn last_heard(&self, source: SourceId) -> (Option<Duration>, Option<Duration>) {
        let occupant = self.occupants.iter().flatten().find(|o| o.source == source);
        occupant.map_or((None, None), |occupant| (occupant.active_at, occupant.sounded_at))
    }

    pub(crate) fn slots(&self) -> usize {
        self.occupants.len() - 1
    }

    pub(crate) fn positions(&self) -> Positions {
        self.occupants.iter().map(|o| o.as_ref().map(|o| o.source)).collect()
    }

    /// What changed since this was last called. Most packets change nothing.
    pub(crate) fn take_changes(&mut self) -> Changes {
        let mut changes = Changes::new();
        if !std::mem::take(&mut self.is_touched) {
            return changes;
        }
        let now = self.positions();
        for (position, (&source, &was)) in now.iter().zip(&self.told).enumerate() {
            if source != was {
                changes.push(Change { position, source, reason: self.reasons[position] });
            }
        }
        self.told = now;
        changes
    }

    fn main(&self) -> impl Iterator<Item = (usize, &Occupant)> {
        let main = self.occupants[..self.slots()].iter().enumerate();
        main.filter_map(|(position, occupant)| Some((position, occupant.as_ref()?)))
    }

    fn unpinned(&self) -> impl Iterator<Item = (usize, &Occupant)> {
        self.main().filter(|(_, o)| o.standing < Standing::Pinned)
    }

    fn free_main(&self) -> Option<usize> {
        self.occupants[..self.slots()].iter().position(Option::is_none)
    }

    fn quietest_noise(&self, standing: Standing) -> Option<usize> {
        let noise = self.unpinned().filter(|(_, o)| o.noise && o.standing <= standing);
        noise.min_by_key(|(_, o)| o.loudness).map(|(position, _)| position)
    }

    /// The main position that an active challenger has to beat: of those who had their time, the least loud. Nobody
    /// of a higher standing who speaks is to be beaten.
    fn weakest_main(&self, now: Duration, standing: Standing, params: &Params) -> Option<usize> {
        let open =
            self.unpinned().filter(|(_, o)| o.standing <= standing || o.silence(now) >= params.yield_after);
        let is_new = |o: &Occupant| now.saturating_sub(o.since) < params.hold_for;
        open.min_by_key(|(_, o)| (is_new(o), o.loudness)).map(|(position, _)| position)
    }

    /// The main position that a source of higher standing takes: of noise, of the silent, of the least loud.
    fn least_below(&self, now: Duration, standing: Standing, params: &Params) -> Option<usize> {
        let below = self.main().filter(|(_, o)| o.standing < standing);
        below
            .min_by_key(|(_, o)| (o.standing, !o.noise, o.is_speaking(now, params), o.loudness))
            .map(|(position, _)| position)
    }

    pub(crate) fn position_of(&self, source: SourceId) -> Option<usize> {
        self.occupants.iter().position(|o| o.as_ref().is_some_and(|o| o.source == source))
    }
}
