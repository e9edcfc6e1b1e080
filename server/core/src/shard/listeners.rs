//! Who listens: one after another, in rounds, each with what they have yet to take.

use std::time::Instant;

use rustc_hash::FxHashMap;
use selector::SourceId;

use super::FORWARDS_MAX;
use super::log::{Entry, Log};
use crate::pre_roll::PRE_ROLL_MAX;
use crate::slot::{Rewritten, Slot};
use crate::view::View;
use crate::{AudioPacket, EndpointId};

pub(super) struct Listener {
    pub(super) id: EndpointId,
    pub(super) own: SourceId,
    /// What they publish on another node, while they move from one to the other.
    pub(super) own_elsewhere: Option<SourceId>,
    /// Whether anything that is sent can arrive: numbers that nobody gets are not used up.
    pub(super) reachable: bool,
    /// On the heap, since there are fewer than there could be.
    pub(super) slots: Box<[Slot]>,
    pub(super) view: Option<Box<View>>,
    /// When the listener last chose whom to hear, or ceased to: what they heard before is not sent again.
    pub(super) chose_at: Option<Instant>,
    /// The number of the first packet in the log that they have yet to take.
    pub(super) next: u64,
}

impl Listener {
    /// The slot in which this listener hears a packet, and its numbers there.
    pub(super) fn hear(&mut self, entry: &Entry) -> Option<(usize, Rewritten)> {
        let Entry { packet, at, position, heard_by } = entry;
        if self.own == packet.source || self.own_elsewhere == Some(packet.source) {
            return None;
        }
        let (slot, tenure) = match (&self.view, position) {
            (Some(view), None) => view.slot_of(packet.source)?,
            (Some(_), Some(_)) | (None, None) => return None,
            (None, Some(occupied)) => {
                let has_heard = heard_by.as_ref().is_some_and(|heard_by| {
                    let chose_just_now = self.chose_at.is_some_and(|chose| *at < chose + 2 * PRE_ROLL_MAX);
                    chose_just_now || heard_by.contains(&self.own)
                });
                if has_heard {
                    return None;
                }
                if occupied.holders.is_empty() {
                    (occupied.position, occupied.tenure)
                } else {
                    // The reserve stands in where a talker would hear themselves.
                    let slot = occupied.holders.iter().position(|(holder, _)| *holder == Some(self.own))?;
                    // Whoever loses a position and has it again missed packets of the reserve: these are not lost ones.
                    (slot, occupied.tenure.max(occupied.holders[slot].1))
                }
            }
        };
        let rewritten = self.slots.get_mut(slot)?.rewrite(*at, tenure, packet)?;
        Some((slot, rewritten))
    }
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

/// A listener's turn: see [`RoomShard::next_turn`](super::RoomShard::next_turn).
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

    /// When the oldest packet came that they have yet to take.
    pub fn waits_since(&self) -> Option<Instant> {
        self.log.since(self.since).next().map(|entry| entry.at)
    }

    /// How many packets came before that and are gone, since the turn came so late: of all that the room heard, whether
    /// this listener would have heard it or said it.
    pub fn missed(&self) -> u64 {
        self.log.lost_since(self.since)
    }

    /// What they hear of all that came since their last turn, in order: at most [`FORWARDS_MAX`].
    pub fn forwards(self) -> impl Iterator<Item = Forward<'a>> {
        let Turn { listener, log, since } = self;
        let heard = log.since(since).filter_map(|entry| {
            let (slot, rewritten) = listener.hear(entry)?;
            Some(Forward { slot, rewritten, packet: &entry.packet, at: entry.at })
        });
        heard.take(FORWARDS_MAX)
    }
}

/// Listeners in any order, and the packets that are for them.
pub(super) struct Audience {
    log: Log,
    listeners: Vec<Listener>,
    places: FxHashMap<EndpointId, usize>,
    round: Option<Round>,
}

/// Each listener's turn to take what is in the log.
struct Round {
    /// Whose turn is next.
    place: usize,
    /// The end of the log when the round began.
    end: u64,
}

impl Audience {
    /// Nobody, and room for so many packets.
    pub(super) fn new(entries_max: usize) -> Audience {
        Audience {
            log: Log::new(entries_max),
            listeners: Vec::new(),
            places: FxHashMap::default(),
            round: None,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.listeners.len()
    }

    pub(super) fn get(&self, id: EndpointId) -> Option<&Listener> {
        self.listeners.get(*self.places.get(&id)?)
    }

    pub(super) fn get_mut(&mut self, id: EndpointId) -> Option<&mut Listener> {
        self.listeners.get_mut(*self.places.get(&id)?)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Listener> {
        self.listeners.iter()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Listener> {
        self.listeners.iter_mut()
    }

    /// Adds a listener, who takes what comes from now on.
    pub(super) fn push(&mut self, listener: Listener) {
        self.places.insert(listener.id, self.listeners.len());
        self.listeners.push(Listener { next: self.log.end(), ..listener });
    }

    pub(super) fn remove(&mut self, id: EndpointId) -> Option<Listener> {
        let mut place = self.places.remove(&id)?;
        // Who takes the place of one who had their turn has to have had theirs.
        if let Some(round) = self.round.as_mut().filter(|round| place < round.place) {
            round.place -= 1;
            self.listeners.swap(place, round.place);
            self.places.insert(self.listeners[place].id, place);
            place = round.place;
        }
        let removed = self.listeners.swap_remove(place);
        if let Some(moved) = self.listeners.get(place) {
            self.places.insert(moved.id, place);
        }
        // In case that the swap above put the place of the removed one back.
        self.places.remove(&id);
        Some(removed)
    }

    /// Tells whether a listener can be reached. What came while they couldn't is not for them.
    pub(super) fn set_reachable(&mut self, id: EndpointId, reachable: bool) {
        let end = self.log.end();
        if let Some(listener) = self.get_mut(id)
            && std::mem::replace(&mut listener.reachable, reachable) != reachable
        {
            listener.next = end;
        }
    }

    /// A packet is for whoever of them hears it.
    pub(super) fn hand_out(&mut self, entry: Entry) {
        self.log.push(entry);
    }

    /// The turn of the next who has something to take, or `None` at the end of a round: then everybody has what was in the
    /// log when the round began, and the log forgets it.
    pub(super) fn next_turn(&mut self) -> Option<Turn<'_>> {
        let Audience { log, listeners, round: current, .. } = self;
        if current.is_none() && log.oldest().is_none() {
            return None;
        }
        let round = current.get_or_insert_with(|| Round { place: 0, end: log.end() });
        let waiting =
            listeners[round.place..].iter().position(|l| l.reachable && log.has_news(l.next, l.own));
        let Some(skipped) = waiting else {
            log.forget_before(round.end);
            *current = None;
            return None;
        };
        round.place += skipped + 1;
        let listener = &mut listeners[round.place - 1];
        let since = std::mem::replace(&mut listener.next, log.end());
        Some(Turn { listener, log, since })
    }

    /// Since when something waits for a turn.
    pub(super) fn waits_since(&self) -> Option<Instant> {
        self.log.oldest()
    }
}
