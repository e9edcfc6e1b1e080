//! The part of a room that lives on one worker: packets in, a [`Forward`] a listener out.
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
//! The sound of shared screens has a shard of its own beside that of the voices, the *stage*: it ranks nothing, whoever
//! comes first has its one slot (docs/adr/0018-screen-audio.md).

use std::time::{Duration, Instant};

use arrayvec::ArrayVec;
use rustc_hash::{FxHashMap, FxHashSet};
use selector::{Candidate, Changes, Level, Params, Positions, SLOTS_MAX, Selector, SourceId, Standing};

use crate::pre_roll::{Earlier, HeardBy, PRE_ROLL_DEFAULT, PRE_ROLL_MAX, PreRoll};
use crate::slot::{Rewritten, Slot};
use crate::view::{Listening, View};
use crate::{AudioPacket, EndpointId};

/// The largest number of positions: the slots and the reserve.
const POSITIONS_MAX: usize = SLOTS_MAX + 1;

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
    /// The position that it is heard in; [`RoomShard::forward`] takes it from here.
    pub position: Option<usize>,
    /// What the source sent right before it: [`RoomShard::forward_earlier`] takes it from here, before the packet.
    pub pre_roll: Vec<Earlier>,
    /// Whether somebody hears it who chose whom to hear: [`RoomShard::forward_to_viewers`] takes it from here.
    pub viewed: bool,
    /// What the room's other workers have to know to hear it too.
    pub crossing: Option<Candidate>,
}

/// A packet to be written to a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forward {
    /// To whom.
    pub endpoint: EndpointId,
    /// In which of their slots.
    pub slot: usize,
    /// Under which numbers.
    pub rewritten: Rewritten,
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
    endpoints: FxHashMap<EndpointId, Listener>,
    /// Those of them who chose whom to hear.
    viewers: Vec<EndpointId>,
    /// Publishers on this worker whom such listeners of other workers want to hear, position or not.
    wanted: FxHashSet<SourceId>,
}

struct Listener {
    own: SourceId,
    /// Whether anything that is sent can arrive: numbers that nobody gets are not used up.
    reachable: bool,
    /// On the heap, since there are fewer than there could be.
    slots: Box<[Slot]>,
    view: Option<Box<View>>,
    /// When the listener last chose whom to hear, or ceased to: what they heard before is not sent again.
    chose_at: Option<Instant>,
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
            selector,
            tenure_last: 0,
            version: 0,
            switches: 0,
            endpoints: FxHashMap::default(),
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
        let view = self.endpoints.remove(&id).and_then(|former| former.view);
        self.endpoints.insert(id, Listener { own, reachable: false, slots, view, chose_at: None });
    }

    /// Sets whom a listener wants to hear: their slots carry the speakers among these. `None` for those of the room.
    pub fn set_listening(&mut self, now: Instant, id: EndpointId, listening: Option<Listening>) {
        let Some(listener) = self.endpoints.get_mut(&id) else {
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
        let view = |id: &EndpointId| Some((*id, self.endpoints.get(id)?.view.as_ref()?.speakers()));
        self.viewers.iter().filter_map(view)
    }

    /// Tells whether a listener's connection is up. Nothing is forwarded to one whose isn't.
    pub fn set_reachable(&mut self, id: EndpointId, reachable: bool) {
        if let Some(listener) = self.endpoints.get_mut(&id) {
            listener.reachable = reachable;
        }
    }

    /// Adds slots to a listener whose connection got more m-lines.
    pub fn add_slots(&mut self, id: EndpointId, slots: impl IntoIterator<Item = Slot>) {
        let slots_max = self.selector.slots();
        if let Some(listener) = self.endpoints.get_mut(&id) {
            let former = std::mem::take(&mut listener.slots);
            listener.slots = former.into_iter().chain(slots).take(slots_max).collect();
        }
    }

    /// How many slots a listener has; none for one who isn't here.
    pub fn slot_count(&self, id: EndpointId) -> usize {
        self.endpoints.get(&id).map_or(0, |listener| listener.slots.len())
    }

    /// Removes a listener, and nothing else: see [`RoomShard::silence`] for what they published.
    pub fn remove_endpoint(&mut self, id: EndpointId) {
        self.viewers.retain(|&viewer| viewer != id);
        if let Some(listener) = self.endpoints.remove(&id) {
            self.set_standing(listener.own, Standing::Ordinary);
        }
    }

    /// How many listen here.
    pub fn endpoint_count(&self) -> usize {
        self.endpoints.len()
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
            if let Some(view) = self.endpoints.get_mut(viewer).and_then(|listener| listener.view.as_mut()) {
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
            if let Some(view) = self.endpoints.get_mut(viewer).and_then(|listener| listener.view.as_mut()) {
                self.version += u64::from(view.tick(time));
            }
        }
    }

    /// When [`RoomShard::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.selector.next_timeout().map(|time| self.epoch + time)
    }

    /// The packet, for each listener who hears the position it arrived in.
    pub fn forward<'a>(
        &'a mut self,
        now: Instant,
        packet: &'a AudioPacket,
        position: usize,
    ) -> impl Iterator<Item = Forward> + 'a {
        self.forward_to(now, packet, position, None)
    }

    /// The packet, for each listener who chose whom to hear and hears it.
    pub fn forward_to_viewers<'a>(
        &'a mut self,
        now: Instant,
        packet: &'a AudioPacket,
    ) -> impl Iterator<Item = Forward> + 'a {
        let viewers = &self.viewers;
        let endpoints = &mut self.endpoints;
        viewers.iter().filter_map(move |&endpoint| {
            let listener = endpoints.get_mut(&endpoint).filter(|listener| listener.reachable)?;
            let (slot, tenure) = listener.view.as_ref()?.slot_of(packet.source)?;
            let rewritten = listener.slots.get_mut(slot)?.rewrite(now, tenure, packet)?;
            Some(Forward { endpoint, slot, rewritten })
        })
    }

    /// A packet from before its source had the position, for each listener who hears it there now and didn't then.
    pub fn forward_earlier<'a>(
        &'a mut self,
        now: Instant,
        earlier: &'a Earlier,
        position: usize,
    ) -> impl Iterator<Item = Forward> + 'a {
        self.forward_to(now, &earlier.packet, position, Some(&earlier.heard_by))
    }

    fn forward_to<'a>(
        &'a mut self,
        now: Instant,
        packet: &'a AudioPacket,
        position: usize,
        heard_by: Option<&'a [SourceId]>,
    ) -> impl Iterator<Item = Forward> + 'a {
        let reserve = self.selector.slots();
        let positions = self.selector.positions();
        let tenures = &self.tenures;
        self.endpoints.iter_mut().filter_map(move |(&endpoint, listener)| {
            let has_heard = heard_by.is_some_and(|heard_by| {
                let chose_just_now = listener.chose_at.is_some_and(|at| now < at + 2 * PRE_ROLL_MAX);
                chose_just_now || heard_by.contains(&listener.own)
            });
            if listener.own == packet.source || has_heard || !listener.reachable || listener.view.is_some() {
                return None;
            }
            let slot = if position < reserve {
                position
            } else {
                // The reserve stands in where a talker would hear themselves.
                positions[..reserve].iter().position(|p| *p == Some(listener.own))?
            };
            // Whoever loses a position and has it again missed packets of the reserve: these are not lost ones.
            let tenure = tenures[position].max(if position < reserve { 0 } else { tenures[slot] });
            let rewritten = listener.slots.get_mut(slot)?.rewrite(now, tenure, packet)?;
            Some(Forward { endpoint, slot, rewritten })
        })
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
            if let Some(view) = self.endpoints.get_mut(viewer).and_then(|listener| listener.view.as_mut()) {
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
