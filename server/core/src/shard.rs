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
use crate::slot::{Rewritten, Slot};
use crate::view::{Listening, View};
use crate::{AudioPacket, EndpointId};

use listeners::{Listener, Listeners};
use log::{Entry, Log, Occupied};

/// The largest number of positions: the slots and the reserve.
const POSITIONS_MAX: usize = SLOTS_MAX + 1;

/// Packets that wait for a listener's turn, for each position: what a voice says in a tenth of a second, and a pre-roll now and
/// then.
const WAITING_A_POSITION: usize = 6;

/// More packets than any listener takes in one turn.
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

/// A packet to be written to a listener.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Forward<'a> {
    /// In which of their slots.
    pub slot: usize,
    /// Under which numbers.
    pub rewritten: Rewritten,
    /// What.
    pub packet: &'a AudioPacket,
    /// When it arrived.
    pub at: Instant,
}

/// A listener's turn: see [`RoomShard::next_turn`].
pub struct Turn<'a> {
    listener: &'a mut Listener,
    log: &'a Log,
    since: u64,
}

impl<'a> Turn<'a> {
    /// Whose.
    pub fn endpoint(&self) -> EndpointId {
        self.listener.id
    }

    /// When the oldest packet came that they have yet to take, and how many before it they missed: they wait too long.
    pub fn waiting(&self) -> (Option<Instant>, u64) {
        let (mut entries, missed) = self.log.since(self.since);
        (entries.next().map(|entry| entry.at), missed)
    }

    /// What they hear of all that came since their last turn, in order: at most [`FORWARDS_MAX`].
    pub fn forwards(self) -> impl Iterator<Item = Forward<'a>> {
        let Turn { listener, log, since } = self;
        log.since(since).0.filter_map(|entry| {
            let (slot, rewritten) = listener.hear(entry)?;
            Some(Forward { slot, rewritten, packet: &entry.packet, at: entry.at })
        })
    }
}

/// Somebody who is heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Speaker {
    /// Slots first, the reserve last.
    pub position: usize,
    /// Who.
    pub source: SourceId,
    /// Smoothed.
    pub level: Level,
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
    listeners: Listeners,
    log: Log,
    /// Those of them who chose whom to hear.
    viewers: Vec<EndpointId>,
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
            log: Log::new(WAITING_A_POSITION * selector.positions().len()),
            selector,
            tenure_last: 0,
            version: 0,
            switches: 0,
            listeners: Listeners::default(),
            viewers: Vec::new(),
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
        let view = self.listeners.remove(id).and_then(|former| former.view);
        let (reachable, chose_at, next) = (false, None, self.log.end());
        self.listeners.push(Listener { id, own, reachable, slots, view, chose_at, next });
    }

    /// Sets whom a listener wants to hear: their slots carry the speakers among these. `None` for those of the room.
    pub fn set_listening(&mut self, now: Instant, id: EndpointId, listening: Option<Listening>) {
        let Some(listener) = self.listeners.get_mut(id) else {
            return;
        };
        listener.chose_at = Some(now);
        self.viewers.retain(|&viewer| viewer != id);
        match (&mut listener.view, listening) {
            (view, None) => *view = None,
            (Some(view), Some(listening)) => view.listen(listener.own, listening),
            (view, Some(listening)) => {
                *view = Some(Box::new(View::new(self.selector.params(), listener.own, listening)));
            }
        }
        if listener.view.is_some() {
            self.viewers.push(id);
        }
        self.version += 1;
    }

    /// Sets which publishers on this worker are wanted by listeners of other workers.
    pub fn set_wanted(&mut self, wanted: impl IntoIterator<Item = SourceId>) {
        self.wanted = wanted.into_iter().collect();
    }

    /// Whom those hear who chose whom to hear: their own slots.
    pub fn views(&self) -> impl Iterator<Item = (EndpointId, Positions)> {
        let view = |id: &EndpointId| Some((*id, self.listeners.get(*id)?.view.as_ref()?.speakers()));
        self.viewers.iter().filter_map(view)
    }

    /// Tells whether a listener's connection is up. Nothing is forwarded to one whose isn't.
    pub fn set_reachable(&mut self, id: EndpointId, reachable: bool) {
        if let Some(listener) = self.listeners.get_mut(id)
            && std::mem::replace(&mut listener.reachable, reachable) != reachable
        {
            listener.next = self.log.end();
        }
    }

    /// Adds slots to a listener whose connection got more m-lines.
    pub fn add_slots(&mut self, id: EndpointId, slots: impl IntoIterator<Item = Slot>) {
        let slots_max = self.selector.slots();
        if let Some(listener) = self.listeners.get_mut(id) {
            let former = std::mem::take(&mut listener.slots);
            listener.slots = former.into_iter().chain(slots).take(slots_max).collect();
        }
    }

    /// How many slots a listener has; none for one who isn't here.
    pub fn slot_count(&self, id: EndpointId) -> usize {
        self.listeners.get(id).map_or(0, |listener| listener.slots.len())
    }

    /// Removes a listener, and nothing else: see [`RoomShard::silence`] for what they published.
    pub fn remove_endpoint(&mut self, id: EndpointId) {
        self.viewers.retain(|&viewer| viewer != id);
        if let Some(listener) = self.listeners.remove(id) {
            self.set_standing(listener.own, Standing::Ordinary);
        }
    }

    /// How many listen here.
    pub fn endpoint_count(&self) -> usize {
        self.listeners.len()
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
        for viewer in &self.viewers {
            if let Some(view) = self.listeners.get_mut(*viewer).and_then(|listener| listener.view.as_mut()) {
                self.version += u64::from(view.silence(source));
            }
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
        for viewer in &self.viewers {
            if let Some(view) = self.listeners.get_mut(*viewer).and_then(|listener| listener.view.as_mut()) {
                self.version += u64::from(view.tick(time));
            }
        }
    }

    /// When [`RoomShard::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.selector.next_timeout().map(|time| self.epoch + time)
    }

    /// Puts a packet on its way to all who hear it, after what its source sent before. [`RoomShard::next_turn`] hands it out.
    pub fn forward(&mut self, now: Instant, packet: &AudioPacket, arrival: &Arrival) {
        if arrival.position.is_none() && !arrival.viewed {
            return;
        }
        let occupied = |position| {
            let reserve = self.selector.slots();
            let slots = self.selector.positions().into_iter().zip(self.tenures.iter().copied());
            let holders = slots.take(if position < reserve { 0 } else { reserve }).collect();
            Occupied { position, tenure: self.tenures[position], holders }
        };
        for earlier in &arrival.pre_roll {
            let (packet, heard_by) = (earlier.packet.clone(), Some(earlier.heard_by.clone()));
            self.log.push(Entry { packet, at: now, position: arrival.position.map(occupied), heard_by });
        }
        let position = arrival.position.map(occupied);
        self.log.push(Entry { packet: packet.clone(), at: now, position, heard_by: None });
    }

    /// The next listener who has something to take, or `None` once each has had their turn. What comes meanwhile is for the next
    /// round, and for those who haven't had theirs yet.
    pub fn next_turn(&mut self) -> Option<Turn<'_>> {
        let listener = self.listeners.next_turn(&mut self.log)?;
        let since = std::mem::replace(&mut listener.next, self.log.end());
        Some(Turn { listener, log: &self.log, since })
    }

    /// Since when something waits for a listener's turn.
    pub fn waits_since(&self) -> Option<Instant> {
        self.log.oldest()
    }

    /// Who is heard, by position.
    pub fn speakers(&self) -> ArrayVec<Speaker, POSITIONS_MAX> {
        let positions = self.selector.positions();
        let heard = positions.iter().take(self.heard_positions).enumerate();
        let occupied = heard.filter_map(|(position, source)| Some((position, (*source)?)));
        occupied
            .map(|(position, source)| Speaker { position, source, level: self.selector.level(source) })
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
        for viewer in &self.viewers {
            if let Some(view) = self.listeners.get_mut(*viewer).and_then(|listener| listener.view.as_mut()) {
                let before = self.tenure_last;
                viewed |= view.rank(time, candidate, &mut self.tenure_last);
                self.version += self.tenure_last - before;
            }
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
