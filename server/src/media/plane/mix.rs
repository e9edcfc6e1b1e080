//! Players with one audio m-line: they hear everybody who is heard in a room, added up, decoded and encoded once a room and
//! worker.
//!
//! To the room it is what phones are to it ([`PhoneRoom`]), but without a thread of its own: news of this worker and of others
//! in, a packet each 20 ms out, the same for all players.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use audio_mixer::{Codec, level_dbov};
use rustc_hash::FxHashMap;
use selector::{Level, SourceId};
use tercet_core::{AudioPacket, Encoding, EndpointId, Forward, RoomAudio, RoomId, Slot, StreamEpoch};
use tercet_protocol::AudioOrigin;
use tracing::warn;

use super::Plane;
use super::endpoints::random_slot;
use crate::media::crossing::News;
use crate::media::fanout::Path;
use crate::phones::PhoneRoom;

const TICK: Duration = Duration::from_millis(20);

/// RFC 7587, section 4.1: the clock of Opus runs at 48 kHz.
const TICK_SAMPLES: u32 = 960;

/// Ticks that were missed are not made up for beyond this: the sound of then is of no use.
const CATCH_UP_MAX: Duration = Duration::from_millis(100);

/// The mixes of a worker.
#[derive(Default)]
pub(super) struct Mixes {
    rooms: FxHashMap<RoomId, Mix>,
    /// When the next packets are due; `None` while nobody hears any.
    due: Option<Instant>,
}

/// That of a room.
struct Mix {
    sum: PhoneRoom,
    listeners: Vec<(EndpointId, Slot)>,
    ticks: u64,
}

impl Mixes {
    /// When [`Plane::send_mixes`] has something to do.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Something is news in a room: for its mix too, where there is one.
    pub(super) fn hear(
        &mut self,
        now: Instant,
        room: &RoomId,
        origin: AudioOrigin,
        news: impl FnOnce() -> News,
    ) {
        if let Some(mix) = self.rooms.get_mut(room) {
            mix.sum.crossing(now, origin, news());
        }
    }
}

impl Mix {
    fn new(now: Instant, room: &RoomId, audio: RoomAudio) -> Mix {
        Mix { sum: PhoneRoom::new(now, room.clone(), audio), listeners: Vec::new(), ticks: 0 }
    }

    /// What is heard in this tick.
    fn tick(&mut self, now: Instant) -> AudioPacket {
        self.ticks += 1;
        self.sum.handle_timeout(now);
        self.sum.mix(now);
        AudioPacket {
            // Nobody's: no participant has this number.
            source: SourceId(0),
            epoch: StreamEpoch::default(),
            seq: self.ticks,
            timestamp: (self.ticks as u32).wrapping_mul(TICK_SAMPLES),
            marker: false,
            encoding: Encoding::Opus,
            level: Level::from_dbov(level_dbov(self.sum.shared())),
            voice: None,
            payload: Arc::from(&self.sum.shared_payload(Codec::Opus)[..]),
        }
    }
}

impl Plane {
    /// Gives a player the mix of its room, if that is what it is to hear: it has one m-line for all voices.
    pub(super) fn hears_mix(&mut self, now: Instant, id: EndpointId, slots: usize) -> bool {
        let Some(endpoint) = self.endpoints.get(&id) else {
            return false;
        };
        let (Some(audio), 1) = (endpoint.mix_of.clone().filter(|audio| audio.params.slots > 1), slots) else {
            return false;
        };
        let room = endpoint.room.clone();
        let mix = self.mixes.rooms.entry(room.clone()).or_insert_with(|| Mix::new(now, &room, audio));
        if mix.listeners.is_empty()
            && let Some(local) = self.rooms.get(&room)
        {
            for origin in AudioOrigin::ALL {
                mix.sum.crossing(now, origin, News::Turn(local.shards[origin].turn()));
            }
        }
        if !mix.listeners.iter().any(|(listener, _)| *listener == id) {
            mix.listeners.push((id, random_slot()));
        }
        self.mixes.due.get_or_insert(now + TICK);
        true
    }

    /// A player is gone.
    pub(super) fn leave_mix(&mut self, id: EndpointId) {
        let Some(endpoint) = self.endpoints.get(&id) else {
            return;
        };
        if let Some(mix) = self.mixes.rooms.get_mut(&endpoint.room) {
            mix.listeners.retain(|(listener, _)| *listener != id);
            if mix.listeners.is_empty() {
                self.mixes.rooms.remove(&endpoint.room);
            }
        }
        self.mixes.due = self.mixes.due.filter(|_| !self.mixes.rooms.is_empty());
    }

    /// Each 20 ms: mixes what is heard in each room with such players, and sends it to them.
    pub(super) fn send_mixes(
        &mut self,
        now: Instant,
        datagram: &mut Vec<u8>,
        mut each: impl FnMut(Path, &[u8]),
    ) {
        let Some(due) = self.mixes.due.filter(|due| *due <= now) else {
            return;
        };
        let is_late = now.saturating_duration_since(due) > CATCH_UP_MAX;
        self.mixes.due = Some(if is_late { now } else { due } + TICK);
        let (mut forwarded, mut panicked) = (0, Vec::new());
        self.mixes.rooms.retain(|room, mix| {
            let Ok(packet) = catch_unwind(AssertUnwindSafe(|| mix.tick(now))) else {
                warn!(%room, "mixing panicked: its players hear nothing more");
                return false;
            };
            for (id, slot) in &mut mix.listeners {
                let peer = self.endpoints.get_mut(id).and_then(|endpoint| endpoint.peer.as_mut());
                let Some((peer, rewritten)) = peer.zip(slot.rewrite(now, 0, &packet)) else {
                    continue;
                };
                let forward = Forward { slot: 0, rewritten, packet: &packet, at: now };
                let forwards = std::iter::once(forward);
                let send = || peer.send(now, AudioOrigin::Microphone, forwards, datagram, &mut each);
                match catch_unwind(AssertUnwindSafe(send)) {
                    Ok(sent) => forwarded += sent as u64,
                    Err(_) => panicked.push(*id),
                }
            }
            true
        });
        self.metrics.forwarded.increment(forwarded);
        for id in panicked {
            self.metrics.peer_panicked();
            self.connection_lost(now, id);
        }
    }
}
