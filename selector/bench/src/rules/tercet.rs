//! This project's selector.

use std::time::Duration;

use selector::{Level, Params, Selector, SourceId};

use super::Rule;
use crate::trace::Packet;

/// [`Selector`], its reserve position left aside.
pub(crate) struct Tercet {
    selector: Selector,
    slots: Vec<Option<u32>>,
    onset_age: Duration,
    last: SourceId,
}

impl Tercet {
    /// With the defaults.
    pub(crate) fn new(slots: usize) -> Tercet {
        Tercet::with(Params::with_slots(slots))
    }

    /// With parameters of one's own.
    pub(crate) fn with(params: Params) -> Tercet {
        let slots = vec![None; params.slots];
        Tercet { selector: Selector::new(params), slots, onset_age: Duration::ZERO, last: SourceId(0) }
    }
}

impl Rule for Tercet {
    fn packet(&mut self, packet: &Packet) {
        let now = Duration::from_micros(packet.at_us);
        let level = Level::from_dbov(packet.level_dbov);
        let candidate = self.selector.judge(now, SourceId(packet.source), level, packet.voice);
        self.onset_age = candidate.speech_age();
        self.last = candidate.source;
        let changes = self.selector.rank(now, &candidate);
        for change in &changes {
            if let Some(slot) = self.slots.get_mut(change.position) {
                *slot = change.source.map(|source| source.0);
            }
        }
    }

    fn slots(&self) -> &[Option<u32>] {
        &self.slots
    }

    fn onset_age_ms(&self) -> u32 {
        u32::try_from(self.onset_age.as_millis()).unwrap_or(u32::MAX)
    }

    fn noise_dbov(&self) -> i8 {
        self.selector.noise_floor(self.last).unwrap_or_default().dbov()
    }
}
