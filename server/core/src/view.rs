//! A listener who chose whom to hear: speakers of their own, out of what everybody sends.

use std::collections::BTreeSet;
use std::time::Duration;

use arrayvec::ArrayVec;
use selector::{Candidate, Heard, Params, Positions, SLOTS_MAX, Selector, SourceId, Standing};

/// Whom a listener wants to hear.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listening {
    /// These and nobody else; everybody where it is `None`.
    pub only: Option<BTreeSet<SourceId>>,
    /// Not these.
    pub except: BTreeSet<SourceId>,
}

impl Listening {
    fn standing(&self, source: SourceId) -> Option<Standing> {
        if self.except.contains(&source) {
            return Some(Standing::Excluded);
        }
        // On a list that was written by hand, all stand alike.
        let is_listed = self.only.as_ref().is_some_and(|only| only.contains(&source));
        is_listed.then_some(Standing::Ordinary)
    }

    fn sources(&self) -> impl Iterator<Item = SourceId> {
        self.only.iter().flatten().chain(&self.except).copied()
    }
}

/// The speakers of one listener.
pub(crate) struct View {
    selector: Selector,
    listening: Listening,
    /// Which occupation of a slot this is, as the shard counts them.
    tenures: ArrayVec<u64, SLOTS_MAX>,
}

impl View {
    /// Nobody hears themselves: `own` is never a speaker.
    pub(crate) fn new(params: &Params, own: SourceId, listening: Listening) -> View {
        let mut selector = Selector::new(params.clone());
        let tenures = (0..selector.slots()).map(|_| 0).collect();
        selector.set_standing(own, Some(Standing::Excluded));
        let mut view = View { selector, listening: Listening::default(), tenures };
        view.listen(own, listening);
        view
    }

    /// Whom the listener wants to hear from now on. Who is heard and still wanted keeps the slot.
    pub(crate) fn listen(&mut self, own: SourceId, listening: Listening) {
        let former = std::mem::replace(&mut self.listening, listening);
        let touched: BTreeSet<SourceId> = former.sources().chain(self.listening.sources()).collect();
        let others = self.listening.only.is_some().then_some(Standing::Excluded);
        for source in touched.into_iter().filter(|&source| source != own) {
            self.selector.set_standing(source, self.listening.standing(source));
        }
        self.selector.set_standing_of_others(others);
    }

    /// Ranks a packet. Returns whether the listener hears it; `tenure` counts the occupations.
    pub(crate) fn rank(&mut self, time: Duration, candidate: &Candidate, tenure: &mut u64) -> bool {
        // Most packets of most rooms: there is nothing to decide.
        let is_idle = candidate.heard == Heard::Quiet && candidate.standing != Standing::Pinned;
        if is_idle && self.slot_of(candidate.source).is_none() {
            return false;
        }
        let changes = self.selector.rank(time, &Candidate { claim: None, ..*candidate });
        for change in changes {
            // The reserve is nobody's: a view has no talker who must not hear themselves.
            if let Some(current) = self.tenures.get_mut(change.position) {
                *tenure += 1;
                *current = *tenure;
            }
        }
        self.slot_of(candidate.source).is_some()
    }

    /// The slot that a source is heard in, and which occupation of it this is.
    pub(crate) fn slot_of(&self, source: SourceId) -> Option<(usize, u64)> {
        let slot = self.selector.position_of(source)?;
        // The reserve has no slot, and no tenure.
        Some((slot, *self.tenures.get(slot)?))
    }

    /// The source is silent. Returns whether a slot became free.
    pub(crate) fn silence(&mut self, source: SourceId) -> bool {
        !self.selector.remove(source).is_empty()
    }

    /// Frees the slots of sources that stopped sending. Returns whether there were any.
    pub(crate) fn tick(&mut self, time: Duration) -> bool {
        !self.selector.tick(time).is_empty()
    }

    /// Who is heard, slot by slot.
    pub(crate) fn speakers(&self) -> Positions {
        let mut positions = self.selector.positions();
        positions.truncate(self.selector.slots());
        positions
    }
}
