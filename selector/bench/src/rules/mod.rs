//! The rules that are compared: ours, and the published ones, written anew from their papers and documentation.

mod atm0s;
mod dominant;
mod jitsi;
mod livekit;
mod tercet;

use crate::trace::Packet;

pub(crate) use atm0s::PinnedSlots;
pub(crate) use dominant::LastDominant;
pub(crate) use jitsi::LoudestOfAll;
pub(crate) use livekit::ActiveWindows;
pub(crate) use tercet::Tercet;

/// Chooses who is heard.
pub(crate) trait Rule {
    /// Takes note of a packet.
    fn packet(&mut self, packet: &Packet);

    /// Who is heard now; `None` in a position that is free.
    fn slots(&self) -> &[Option<u32>];

    /// How long ago the source of the last packet began to speak, milliseconds: a pre-roll reaches no further. A rule
    /// that doesn't know sends all that is kept.
    fn onset_age_ms(&self) -> u32 {
        u32::MAX
    }

    /// The noise of the source of the last packet: a pre-roll reaches back beyond the onset while packets are louder.
    fn noise_dbov(&self) -> i8 {
        -127
    }
}

/// Puts a set of sources into positions without moving those who stay.
fn settle(slots: &mut [Option<u32>], chosen: &[u32]) {
    for slot in slots.iter_mut() {
        if slot.is_some_and(|source| !chosen.contains(&source)) {
            *slot = None;
        }
    }
    for &source in chosen {
        if !slots.contains(&Some(source))
            && let Some(free) = slots.iter_mut().find(|slot| slot.is_none())
        {
            *free = Some(source);
        }
    }
}
