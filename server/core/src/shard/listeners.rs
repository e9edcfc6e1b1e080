//! Who listens: one after another, in rounds, each with what they have yet to take.

use std::time::Instant;

use rustc_hash::FxHashMap;
use selector::SourceId;

use super::log::{Entry, Log};
use crate::EndpointId;
use crate::pre_roll::PRE_ROLL_MAX;
use crate::slot::{Rewritten, Slot};
use crate::view::View;

pub(super) struct Listener {
    pub(super) id: EndpointId,
    pub(super) own: SourceId,
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
        if self.own == packet.source {
            return None;
        }
        let (slot, tenure) = match (&self.view, position) {
            // A view has no reserve, and begins without what was said before.
            (Some(view), _) if heard_by.is_none() => view.slot_of(packet.source)?,
            (Some(_), _) | (None, None) => return None,
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

/// All of them, in any order.
#[derive(Default)]
pub(super) struct Listeners {
    all: Vec<Listener>,
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

impl Listeners {
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    pub(super) fn get(&self, id: EndpointId) -> Option<&Listener> {
        self.all.get(*self.places.get(&id)?)
    }

    pub(super) fn get_mut(&mut self, id: EndpointId) -> Option<&mut Listener> {
        self.all.get_mut(*self.places.get(&id)?)
    }

    pub(super) fn push(&mut self, listener: Listener) {
        self.places.insert(listener.id, self.all.len());
        self.all.push(listener);
    }

    pub(super) fn remove(&mut self, id: EndpointId) -> Option<Listener> {
        let mut place = self.places.remove(&id)?;
        // Who takes the place of one who had their turn has to have had theirs.
        if let Some(round) = self.round.as_mut().filter(|round| place < round.place) {
            round.place -= 1;
            self.all.swap(place, round.place);
            self.places.insert(self.all[place].id, place);
            place = round.place;
        }
        let removed = self.all.swap_remove(place);
        if let Some(moved) = self.all.get(place) {
            self.places.insert(moved.id, place);
        }
        // In case that the swap above put the place of the removed one back.
        self.places.remove(&id);
        Some(removed)
    }

    /// The next whose turn it is and who has something to take, or `None` at the end of a round: then everybody has what was
    /// in the log when the round began, and the log forgets it.
    pub(super) fn next_turn(&mut self, log: &mut Log) -> Option<&mut Listener> {
        let round = self.round.get_or_insert_with(|| Round { place: 0, end: log.end() });
        let waiting = self.all[round.place..].iter().position(|l| l.reachable && l.next < log.end());
        match waiting {
            Some(skipped) => {
                let place = round.place + skipped;
                round.place = place + 1;
                Some(&mut self.all[place])
            }
            None => {
                log.forget_before(round.end);
                self.round = None;
                None
            }
        }
    }
}
