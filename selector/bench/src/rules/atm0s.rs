//! Slots to which sources are pinned, as in atm0s-media-server's audio mixer.

use super::Rule;
use crate::trace::Packet;

/// Without a packet for so long, a slot is free.
const EXPIRY_US: u64 = 2_000_000;

#[derive(Clone, Copy)]
struct Pinned {
    source: u32,
    /// What it had when it took the slot: it is not refreshed.
    level_dbov: i8,
    heard_us: u64,
}

/// A source keeps the slot, at the level with which it took it, until one that is louder comes or its packets stop.
pub(crate) struct PinnedSlots {
    pinned: Vec<Option<Pinned>>,
    slots: Vec<Option<u32>>,
}

impl PinnedSlots {
    /// All slots free.
    pub(crate) fn new(slots: usize) -> PinnedSlots {
        PinnedSlots { pinned: vec![None; slots], slots: vec![None; slots] }
    }
}

impl Rule for PinnedSlots {
    fn packet(&mut self, packet: &Packet) {
        for slot in &mut self.pinned {
            if slot.is_some_and(|pinned| packet.at_us - pinned.heard_us > EXPIRY_US) {
                *slot = None;
            }
        }
        let own = self.pinned.iter_mut().flatten().find(|pinned| pinned.source == packet.source);
        if let Some(own) = own {
            own.heard_us = packet.at_us;
        } else if let Some(weakest) =
            self.pinned.iter_mut().min_by_key(|slot| slot.map(|pinned| pinned.level_dbov))
            && weakest.is_none_or(|pinned| packet.level_dbov > pinned.level_dbov)
        {
            let (source, level_dbov, heard_us) = (packet.source, packet.level_dbov, packet.at_us);
            *weakest = Some(Pinned { source, level_dbov, heard_us });
        }
        for (slot, pinned) in self.slots.iter_mut().zip(&self.pinned) {
            *slot = pinned.map(|pinned| pinned.source);
        }
    }

    fn slots(&self) -> &[Option<u32>] {
        &self.slots
    }
}
