//! This project's selector.

use std::time::Duration;

use selector::{Level, Observation, Params, Selector, SourceId};

use super::Rule;
use crate::trace::Packet;

/// [`Selector`], its reserve position left aside.
pub(crate) struct Tercet {
    selector: Selector,
    slots: Vec<Option<u32>>,
}

impl Tercet {
    /// With the defaults.
    pub(crate) fn new(slots: usize) -> Tercet {
        Tercet::with(Params::with_slots(slots))
    }

    /// With parameters of one's own.
    pub(crate) fn with(params: Params) -> Tercet {
        let slots = vec![None; params.slots];
        Tercet { selector: Selector::new(params), slots }
    }
}

impl Rule for Tercet {
    fn packet(&mut self, packet: &Packet) {
        let now = Duration::from_micros(packet.at_us);
        let level = Level::from_dbov(packet.level_dbov);
        let observation = Observation::Packet { level, voice: packet.voice };
        let changes = self.selector.observe(now, SourceId(packet.source), observation);
        for change in &changes {
            if let Some(slot) = self.slots.get_mut(change.position) {
                *slot = change.source.map(|source| source.0);
            }
        }
    }

    fn slots(&self) -> &[Option<u32>] {
        &self.slots
    }
}
