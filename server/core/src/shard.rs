//! The part of a room that lives on one worker: packets in, and for each listener what they hear out.
//!
//! Each shard judges the packets of its own publishers and ranks them. Those of whoever has a position cross to the
//! room's other workers with what was judged and with the position that was given, so all shards have the same
//! positions (see [`selector::Claim`]), and what crosses is what is heard.
//!
//! The selector's positions are the room's, the same for every listener. What a single listener
//! hears follows from them: slot i carries position i, and whoever holds position i themselves
//! hears the reserve there instead. So nobody hears themselves and everybody hears K others, without
//! a decision a listener.
//!
//! A packet that is heard is written down once, and each listener takes what has come since their last turn. So a
//! busy worker, which gets round to a listener less often, finds more for them each time, and spends less on each packet.
//!
//! The sound of shared screens has a shard of its own beside that of the voices, the *stage*: it ranks nothing, whoever
//! comes first has its one slot (docs/adr/0018-screen-audio.md).

mod listeners;
mod log;

use std::time::{Duration, Instant};

use arrayvec::ArrayVec;
use rustc_hash::FxHashSet;
use selector::{Candidate, Changes, Level, Params, Positions, SLOTS_MAX, Selector, SourceId, Standing};

use crate::pre_roll::{Earlier, HeardBy, PRE_ROLL_DEFAULT, PreRoll};
use crate::slot::Slot;
use crate::view::{Listening, View};
use crate::{AudioPacket, EndpointId};

use listeners::{Audience, Listener};
pub use listeners::{Forward, Turn};
use log::{Entry, Occupied};

/// The largest number of positions: the slots and the reserve.
const POSITIONS_MAX: usize = SLOTS_MAX + 1;

/// Packets that wait for a listener's turn, for each position: what a voice says in a tenth of a second, and a pre-roll now and
/// then.
const WAITING_A_POSITION: usize = 6;

/// Packets that wait for those who chose whom to hear, from whomever they chose: more of them, since each chose others.
const VIEWED_MAX: usize = 256;

/// No listener takes more packets in one turn.
pub const FORWARDS_MAX: usize = WAITING_A_POSITION * POSITIONS_MAX;

/// A share of which nothing comes for so long is over, and the stage free for another: a shorter pause may be the
/// network's.
pub const SHARE_RELEASE_AFTER: Duration = Duration::from_millis(2500);

/// How the speakers of a room are chosen, and how they begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomAudio {
    /// The selector's.
    pub params: Params,
    /// How much of a speaker is heard from before they were chosen, in whole packets, up to
    /// [`PRE_ROLL_MAX`](crate::PRE_ROLL_MAX).
    pub pre_roll: Duration,
}

impl RoomAudio {
    /// The defaults, with a number of slots.
    pub fn with_slots(slots: usize) -> RoomAudio {
        RoomAudio { params: Params::with_slots(slots), pre_roll: PRE_ROLL_DEFAULT }
    }
}

/// What to do with a packet that arrived.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Arrival {
    /// The position that it is heard in.
    pub position: Option<usize>,
    /// What the source sent right before it: it is heard before the packet.
    pub pre_roll: Vec<Earlier>,
    /// Whether somebody hears it who chose whom to hear.
    pub viewed: bool,
    /// What the room's other workers have to know to hear it too.
    pub crossing: Option<Candidate>,
}

/// Somebody who is heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Speaker {
    /// Slots first, the reserve last.
    pub position: usize,
    /// Who.
    pub source: SourceId,
    /// How loud their voice is, or was; smoothed.
    pub level: Level,
    /// When they last spoke: a position is theirs for a while longer. `None` for somebody who never did.
    pub active_at: Option<Instant>,
    /// When they were last to be heard, be it speech or not.
    pub sounded_at: Option<Instant>,
}

/// The part of a room that lives on one worker.
pub struct RoomShard {
    epoch: Instant,
    selector: Selector,
    pre_roll: PreRoll,
    /// How many of the positions are heard: the slots and the reserve, or the stage's slot alone.
    heard_positions: usize,
    /// Which occupation of a position this is, counted over all positions.
    tenures: ArrayVec<u64, POSITIONS_MAX>,
    tenure_last: u64,
    /// Changes with what listeners are to be told.
    version: u64,
    /// Occupations of the room's positions that began or ended.
    switches: u64,
    /// Those who hear what the room hears.
    listeners: Audience,
    /// Those who chose whom to hear.
    viewers: Audience,
    /// Publishers on this worker whom such listeners of other workers want to hear, position or not.
    wanted: FxHashSet<SourceId>,
}

impl RoomShard {
    /// An empty shard of a room. `now` is the origin of its time.
    pub fn new(now: Instant, audio: RoomAudio) -> RoomShard {
        let selector = Selector::new(audio.params);
        RoomShard {
            epoch: now,
            pre_roll: PreRoll::new(audio.pre_roll),
            heard_positions: selector.slots() + 1,
            tenures: selector.positions().iter().map(|_| 0).collect(),
            listeners: Audience::new(WAITING_A_POSITION * selector.positions().len()),
            viewers: Audience::new(VIEWED_MAX),
            selector,
            tenure_last: 0,
            version: 0,
            switches: 0,
            wanted: FxHashSet::default(),
        }
    }

    /// An empty stage: one slot, which nobody loses to a louder one, and no reserve, so that its holder hears nobody.
    pub fn stage(now: Instant) -> RoomShard {
        let params = Params { release_after: SHARE_RELEASE_AFTER, ..Params::with_slots(1) };
        let mut stage = RoomShard::new(now, RoomAudio { params, pre_roll: Duration::ZERO });
        stage.heard_positions = stage.selector.slots();
        stage.selector.set_standing_of_others(Some(Standing::Pinned));
        stage
    }

    /// Adds a listener, or replaces their slots: the connection is a new one, and not there yet, see
    /// [`RoomShard::set_reachable`]. `own` is what they publish themselves.
    pub fn add_endpoint(&mut self, id: EndpointId, own: SourceId, slots: impl IntoIterator<Item = Slot>) {
        let slots = slots.into_iter().take(self.selector.slots()).collect();
        // What a listener wants to hear outlasts the connection.
        let former = self.remove_listener(id);
        let own_elsewhere = former.as_ref().and_then(|former| former.own_elsewhere);
        let view = former.and_then(|former| former.view);
        let (reachable, chose_at, next) = (false, None, 0);
        self.add_listener(Listener { id, own, own_elsewhere, reachable, slots, view, chose_at, next });
    }

    /// Sets what a listener publishes on another node, while they move from one to the other: nobody hears themselves.
    pub fn set_own_elsewhere(&mut self, id: EndpointId, source: SourceId) {
        if let Some(listener) = self.listeners.get_mut(id).or_else(|| self.viewers.get_mut(id)) {
            listener.own_elsewhere = Some(source);
        }
    }

    /// Sets whom a listener wants to hear: their slots carry the speakers among these. `None` for those of the room.
    pub fn set_listening(&mut self, now: Instant, id: EndpointId, listening: Option<Listening>) {
        self.version += 1;
        if let (Some(viewer), Some(listening)) = (self.viewers.get_mut(id), &listening) {
            viewer.chose_at = Some(now);
            if let Some(view) = &mut viewer.view {
                view.listen(viewer.own, listening.clone());
            }
        } else if let Some(listener) = self.remove_listener(id) {
            let view = |listening| Box::new(View::new(self.selector.params(), listener.own, listening));
            let view = listening.map(view);
            self.add_listener(Listener { view, chose_at: Some(now), ..listener });
        }
    }

    fn add_listener(&mut self, listener: Listener) {
        let audience = if listener.view.is_some() { &mut self.viewers } else { &mut self.listeners };
        audience.push(listener);
    }

    fn remove_listener(&mut self, id: EndpointId) -> Option<Listener> {
        self.listeners.remove(id).or_else(|| self.viewers.remove(id))
    }

    /// Sets which publishers on this worker are wanted by listeners of other workers.
    pub fn set_wanted(&mut self, wanted: impl IntoIterator<Item = SourceId>) {
        self.wanted = wanted.into_iter().collect();
    }

    /// Whom those hear who chose whom to hear: their own slots.
    pub fn views(&self) -> impl Iterator<Item = (EndpointId, Positions)> {
        self.viewers.iter().filter_map(|viewer| Some((viewer.id, viewer.view.as_ref()?.speakers())))
    }

    /// Tells whether a listener's connection is up. Nothing is forwarded to one whose isn't.
    pub fn set_reachable(&mut self, id: EndpointId, reachable: bool) {
        self.listeners.set_reachable(id, reachable);
        self.viewers.set_reachable(id, reachable);
    }

    /// Adds slots to a listener whose connection got more m-lines.
    pub fn add_slots(&mut self, id: EndpointId, slots: impl IntoIterator<Item = Slot>) {
        let slots_max = self.selector.slots();
        if let Some(listener) = self.listeners.get_mut(id).or_else(|| self.viewers.get_mut(id)) {
            let former = std::mem::take(&mut listener.slots);
            listener.slots = former.into_iter().chain(slots).take(slots_max).collect();
        }
    }

    /// How many slots a listener has; none for one who isn't here.
    pub fn slot_count(&self, id: EndpointId) -> usize {
        let listener = self.listeners.get(id).or_else(|| self.viewers.get(id));
        listener.map_or(0, |listener| listener.slots.len())
    }

    /// Removes a listener, and nothing else: see [`RoomShard::silence`] for what they published.
    pub fn remove_endpoint(&mut self, id: EndpointId) {
        if let Some(listener) = self.remove_listener(id) {
            self.set_standing(listener.own, Standing::Ordinary);
        }
    }

    /// How many listen here.
    pub fn endpoint_count(&self) -> usize {
        self.listeners.len() + self.viewers.len()
    }

    /// A packet of a publisher on this worker arrived: ranks it, and tells where it goes.
    pub fn packet(&mut self, now: Instant, packet: &AudioPacket) -> Arrival {
        let candidate = self.selector.judge(self.time(now), packet.source, packet.level, packet.voice);
        let was_heard = self.is_heard(packet.source);
        let position = self.rank(now, &candidate);
        let is_heard = position.is_some_and(|position| position < self.selector.slots());
        let mut pre_roll = Vec::new();
        if !is_heard {
            let main = self.selector.positions().into_iter().take(self.selector.slots());
            let heard_by = if position.is_some() { main.flatten().collect() } else { HeardBy::new() };
            self.pre_roll.keep(now, packet, heard_by);
        } else if !was_heard {
            let noise = self.selector.noise_floor(packet.source).unwrap_or_default();
            pre_roll = self.pre_roll.take(now, packet, candidate.speech_age(), noise);
        }
        let wanted = || self.wanted.contains(&packet.source).then_some(candidate);
        let crossing = position.and_then(|_| self.selector.with_claim(&candidate)).or_else(wanted);
        Arrival { position, pre_roll, viewed: self.view(now, &candidate), crossing }
    }

    /// A packet that another worker has judged: one with a position there, or one that somebody here wants to hear.
    pub fn crossed(&mut self, now: Instant, candidate: &Candidate) -> Arrival {
        let viewed = self.view(now, candidate);
        let position = candidate.claim.is_some().then(|| self.rank(now, candidate)).flatten();
        Arrival { position, viewed, ..Arrival::default() }
    }

    /// A source is silent from now on: muted, demoted, gone, or said to be by its worker. Returns
    /// whether the other workers have to be told.
    pub fn silence(&mut self, source: SourceId) -> bool {
        // The noise of a source is known where its packets arrive, and nowhere else.
        let is_own = self.selector.noise_floor(source).is_some();
        let changes = self.selector.remove(source);
        self.begin_tenures(&changes);
        self.pre_roll.remove(source);
        for view in self.viewers.iter_mut().filter_map(|viewer| viewer.view.as_mut()) {
            self.version += u64::from(view.silence(source));
        }
        is_own
    }

    /// Sets how a publisher on this worker stands among all.
    pub fn set_standing(&mut self, source: SourceId, standing: Standing) {
        let standing = (standing != Standing::Ordinary).then_some(standing);
        let changes = self.selector.set_standing(source, standing);
        self.begin_tenures(&changes);
    }

    /// The publishers on this worker who don't stand as everybody does.
    pub fn standings(&self) -> impl Iterator<Item = (SourceId, Standing)> {
        self.selector.standings()
    }

    /// Frees the positions of sources that stopped sending.
    pub fn handle_timeout(&mut self, now: Instant) {
        let time = self.time(now);
        let changes = self.selector.tick(time);
        self.begin_tenures(&changes);
        for view in self.viewers.iter_mut().filter_map(|viewer| viewer.view.as_mut()) {
            self.version += u64::from(view.tick(time));
        }
    }

    /// When [`RoomShard::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.selector.next_timeout().map(|time| self.epoch + time)
    }

    /// Puts a packet on its way to all who hear it, after what its source sent before. [`RoomShard::next_turn`] hands it out.
    pub fn forward(&mut self, now: Instant, packet: &AudioPacket, arrival: &Arrival) {
        if arrival.viewed {
            let packet = packet.clone();
            self.viewers.hand_out(Entry { packet, at: now, position: None, heard_by: None });
        }
        let Some(position) = arrival.position else {
            return;
        };
        let occupied = || {
            let reserve = self.selector.slots();
            let slots = self.selector.positions().into_iter().zip(self.tenures.iter().copied());
            let holders = slots.take(if position < reserve { 0 } else { reserve }).collect();
            Some(Occupied { position, tenure: self.tenures[position], holders })
        };
        for earlier in &arrival.pre_roll {
            let (packet, heard_by) = (earlier.packet.clone(), Some(earlier.heard_by.clone()));
            self.listeners.hand_out(Entry { packet, at: now, position: occupied(), heard_by });
        }
        let packet = packet.clone();
        self.listeners.hand_out(Entry { packet, at: now, position: occupied(), heard_by: None });
    }

    /// The next listener who has something to take, or `None` once each has had their turn. What comes meanwhile is for the next
    /// round, and for those who haven't had theirs yet.
    pub fn next_turn(&mut self) -> Option<Turn<'_>> {
        self.listeners.next_turn().or_else(|| self.viewers.next_turn())
    }

    /// Since when something waits for a listener's turn.
    pub fn waits_since(&self) -> Option<Instant> {
        self.listeners.waits_since().into_iter().chain(self.viewers.waits_since()).min()
    }

    /// Who is heard, by position.
    pub fn speakers(&self) -> ArrayVec<Speaker, POSITIONS_MAX> {
        let positions = self.selector.positions();
        let heard = positions.iter().take(self.heard_positions).enumerate();
        let occupied = heard.filter_map(|(position, source)| Some((position, (*source)?)));
        occupied
            .map(|(position, source)| {
                let (active_at, sounded_at) = self.selector.last_heard(source);
                let [active_at, sounded_at] = [active_at, sounded_at].map(|at| Some(self.epoch + at?));
                Speaker { position, source, level: self.selector.level(source), active_at, sounded_at }
            })
            .collect()
    }

    /// How many positions there are: the slots and the reserve.
    pub fn position_count(&self) -> usize {
        self.tenures.len()
    }

    /// Changes whenever somebody takes or leaves a slot of anybody's.
    pub fn selection_version(&self) -> u64 {
        self.version
    }

    /// How often somebody took or left a position of the room.
    pub fn switches(&self) -> u64 {
        self.switches
    }

    /// What a new worker's part of the room has to know: see [`Selector::turn`].
    pub fn turn(&self) -> u64 {
        self.selector.turn()
    }

    /// Another worker's part of the room is older than this one.
    pub fn catch_up(&mut self, turn: u64) {
        self.selector.catch_up(turn);
    }

    fn is_heard(&self, source: SourceId) -> bool {
        self.selector.position_of(source).is_some_and(|position| position < self.selector.slots())
    }

    fn rank(&mut self, now: Instant, candidate: &Candidate) -> Option<usize> {
        let changes = self.selector.rank(self.time(now), candidate);
        self.begin_tenures(&changes);
        self.selector.position_of(candidate.source).filter(|&position| position < self.heard_positions)
    }

    /// Ranks a packet for those who chose whom to hear. Returns whether anybody of them hears it.
    fn view(&mut self, now: Instant, candidate: &Candidate) -> bool {
        let time = self.time(now);
        let mut viewed = false;
        for view in self.viewers.iter_mut().filter_map(|viewer| viewer.view.as_mut()) {
            let before = self.tenure_last;
            viewed |= view.rank(time, candidate, &mut self.tenure_last);
            self.version += self.tenure_last - before;
        }
        viewed
    }

    fn begin_tenures(&mut self, changes: &Changes) {
        for change in changes {
            self.switches += 1;
            self.version += 1;
            self.tenure_last += 1;
            self.tenures[change.position] = self.tenure_last;
        }
    }

    fn time(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.epoch)
    }
}

#[cfg(test)]
mod tests;
