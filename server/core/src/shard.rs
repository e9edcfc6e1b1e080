//! The part of a room that lives on one worker: packets in, a [`Forward`] a listener out.
//!
//! Selection runs twice with the same selector. On the worker's own publishers it finds the
//! candidates, which are all that the room's other workers get to see; on the candidates of all
//! workers it finds the speakers. A room that lives on one worker skips the first step.
//!
//! The selector's positions are the room's, the same for every listener. What a single listener
//! hears follows from them: slot i carries position i, and whoever holds position i themselves
//! hears the reserve there instead. So nobody hears themselves and everybody hears K others, without
//! a decision a listener.

use std::time::{Duration, Instant};

use arrayvec::ArrayVec;
use rustc_hash::{FxHashMap, FxHashSet};
use selector::{Changes, Level, Observation, Params, Positions, SLOTS_MAX, Selector, SourceId};

use crate::slot::{Rewritten, Slot};
use crate::{AudioPacket, EndpointId};

/// The largest number of positions: the slots and the reserve.
const POSITIONS_MAX: usize = SLOTS_MAX + 1;

/// Where a packet came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A publisher on this worker.
    Here,
    /// A candidate of another worker.
    Elsewhere,
}

/// What to do with a packet that arrived.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Arrival {
    /// The room's other workers get to see it.
    pub candidate: bool,
    /// The position that it is heard in; [`RoomShard::forward`] takes it from here.
    pub position: Option<usize>,
    /// Sources of this worker that are candidates no longer: the other workers have to be told.
    pub withdrawn: ArrayVec<SourceId, POSITIONS_MAX>,
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
    /// The worker's own publishers, while the room spans workers.
    local: Selector,
    spans_workers: bool,
    /// Everybody whose packets arrive here.
    heard: Selector,
    /// Which occupation of a position this is, counted over all positions.
    tenures: ArrayVec<u64, POSITIONS_MAX>,
    tenure_last: u64,
    endpoints: FxHashMap<EndpointId, Listener>,
    publishers: FxHashSet<SourceId>,
}

struct Listener {
    own: SourceId,
    /// Whether anything that is sent can arrive: numbers that nobody gets are not used up.
    reachable: bool,
    slots: ArrayVec<Slot, SLOTS_MAX>,
}

impl RoomShard {
    /// An empty shard of a room with so many slots. `now` is the origin of its time.
    pub fn new(now: Instant, slots: usize) -> RoomShard {
        let heard = Selector::new(Params::with_slots(slots));
        RoomShard {
            epoch: now,
            local: Selector::new(Params::with_slots(slots)),
            spans_workers: false,
            tenures: heard.positions().iter().map(|_| 0).collect(),
            heard,
            tenure_last: 0,
            endpoints: FxHashMap::default(),
            publishers: FxHashSet::default(),
        }
    }

    /// Tells whether other workers have a part of the room.
    pub fn set_spans_workers(&mut self, spans: bool) {
        if spans && !self.spans_workers {
            // Whoever is heard now is a candidate from the start.
            self.local = self.heard.clone();
            self.local.retain(|source| self.publishers.contains(&source));
        }
        self.spans_workers = spans;
    }

    /// Adds a listener, or replaces their slots: the connection is a new one, and not there yet, see
    /// [`RoomShard::set_reachable`]. `own` is what they publish themselves.
    pub fn add_endpoint(&mut self, id: EndpointId, own: SourceId, slots: impl IntoIterator<Item = Slot>) {
        let slots = slots.into_iter().take(self.heard.slots()).collect();
        self.endpoints.insert(id, Listener { own, reachable: false, slots });
    }

    /// Tells whether a listener's connection is up. Nothing is forwarded to one whose isn't.
    pub fn set_reachable(&mut self, id: EndpointId, reachable: bool) {
        if let Some(listener) = self.endpoints.get_mut(&id) {
            listener.reachable = reachable;
        }
    }

    /// Adds slots to a listener whose connection got more m-lines.
    pub fn add_slots(&mut self, id: EndpointId, slots: impl IntoIterator<Item = Slot>) {
        let slots_max = self.heard.slots();
        if let Some(listener) = self.endpoints.get_mut(&id) {
            let missing = slots_max - listener.slots.len().min(slots_max);
            listener.slots.extend(slots.into_iter().take(missing));
        }
    }

    /// How many slots a listener has; none for one who isn't here.
    pub fn slot_count(&self, id: EndpointId) -> usize {
        self.endpoints.get(&id).map_or(0, |listener| listener.slots.len())
    }

    /// Removes a listener, and nothing else: see [`RoomShard::silence`] for what they published.
    pub fn remove_endpoint(&mut self, id: EndpointId) {
        self.endpoints.remove(&id);
    }

    /// How many listen here.
    pub fn endpoint_count(&self) -> usize {
        self.endpoints.len()
    }

    /// A packet arrived: ranks it, and tells where it goes.
    pub fn packet(&mut self, now: Instant, origin: Origin, packet: &AudioPacket) -> Arrival {
        let time = self.time(now);
        let source = packet.source;
        let observation = Observation::Packet { level: packet.level, voice: packet.voice };
        let mut arrival = Arrival::default();
        if origin == Origin::Here {
            self.publishers.insert(source);
            if self.spans_workers {
                let before = self.local.positions();
                self.local.observe(time, source, observation);
                let after = self.local.positions();
                arrival.withdrawn = absent(&before, &after);
                arrival.candidate = after.contains(&Some(source));
                for &withdrawn in &arrival.withdrawn {
                    self.hear(time, withdrawn, Observation::Silence);
                }
                if !arrival.candidate {
                    return arrival;
                }
            }
        }
        self.hear(time, source, observation);
        arrival.position = self.heard.positions().iter().position(|p| *p == Some(source));
        arrival
    }

    /// A source is silent from now on: muted, demoted, gone, or withdrawn by its worker. Returns
    /// whether the other workers have to be told.
    pub fn silence(&mut self, source: SourceId) -> bool {
        self.local.remove(source);
        let changes = self.heard.remove(source);
        self.begin_tenures(&changes);
        self.publishers.remove(&source)
    }

    /// Frees the positions of sources that stopped sending.
    pub fn handle_timeout(&mut self, now: Instant) {
        let time = self.time(now);
        self.local.tick(time);
        let changes = self.heard.tick(time);
        self.begin_tenures(&changes);
    }

    /// When [`RoomShard::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.heard.next_timeout().map(|time| self.epoch + time)
    }

    /// The packet, for each listener who hears the position it arrived in.
    pub fn forward<'a>(
        &'a mut self,
        now: Instant,
        packet: &'a AudioPacket,
        position: usize,
    ) -> impl Iterator<Item = Forward> + 'a {
        let reserve = self.heard.slots();
        let positions = self.heard.positions();
        let tenure = self.tenures[position];
        self.endpoints.iter_mut().filter_map(move |(&endpoint, listener)| {
            if listener.own == packet.source || !listener.reachable {
                return None;
            }
            let slot = if position < reserve {
                position
            } else {
                // The reserve stands in where a talker would hear themselves.
                positions[..reserve].iter().position(|p| *p == Some(listener.own))?
            };
            let rewritten = listener.slots.get_mut(slot)?.rewrite(now, tenure, packet)?;
            Some(Forward { endpoint, slot, rewritten })
        })
    }

    /// Who is heard, by position.
    pub fn speakers(&self) -> ArrayVec<Speaker, POSITIONS_MAX> {
        let positions = self.heard.positions();
        let occupied =
            positions.iter().enumerate().filter_map(|(position, source)| Some((position, (*source)?)));
        occupied
            .map(|(position, source)| Speaker { position, source, level: self.heard.level(source) })
            .collect()
    }

    /// How many positions there are: the slots and the reserve.
    pub fn position_count(&self) -> usize {
        self.tenures.len()
    }

    /// Changes whenever somebody takes or leaves a position.
    pub fn selection_version(&self) -> u64 {
        self.tenure_last
    }

    fn hear(&mut self, time: Duration, source: SourceId, observation: Observation) {
        let changes = self.heard.observe(time, source, observation);
        self.begin_tenures(&changes);
    }

    fn begin_tenures(&mut self, changes: &Changes) {
        for change in changes {
            self.tenure_last += 1;
            self.tenures[change.position] = self.tenure_last;
        }
    }

    fn time(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.epoch)
    }
}

fn absent(before: &Positions, after: &Positions) -> ArrayVec<SourceId, POSITIONS_MAX> {
    before.iter().flatten().filter(|source| !after.contains(&Some(**source))).copied().collect()
}

#[cfg(test)]
mod tests;
