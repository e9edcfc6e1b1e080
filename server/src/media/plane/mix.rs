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
}

/// That of a room.
struct Mix {
    sum: PhoneRoom,
    listeners: Vec<(EndpointId, Slot)>,
    ticks: u64,
    /// When the next packet is due. Rooms are out of step, so that their mixing is no burst of work.
    due: Instant,
    /// The latest packet, and how many listeners have had it.
    latest: Option<(AudioPacket, usize)>,
}

impl Mixes {
    /// When [`Plane::send_mixes`] has something to do.
    pub(super) fn due(&self) -> Option<Instant> {
        self.rooms.values().map(|mix| if mix.is_sending() { mix.due - TICK } else { mix.due }).min()
    }

    /// Something is news in a room: for its mix too, where there is one.
    pub(super) fn hear(
        &mut self,
        now: Instant,
        room: &RoomId,
        origin: AudioOrigin,
        news: impl FnOnce() -> News,
    ) {
        let Some(mix) = self.rooms.get_mut(room) else {
            return;
        };
        if catch_unwind(AssertUnwindSafe(|| mix.sum.crossing(now, origin, news()))).is_err() {
            warn!(%room, "mixing panicked: its players hear nothing more");
            self.rooms.remove(room);
        }
    }
}

impl Mix {
    fn new(now: Instant, room: &RoomId, audio: RoomAudio) -> Mix {
        let sum = PhoneRoom::new(now, room.clone(), audio);
        Mix { sum, listeners: Vec::new(), ticks: 0, due: now + TICK, latest: None }
    }

    /// Whether there are listeners who haven't had the latest packet.
    fn is_sending(&self) -> bool {
        self.latest.as_ref().is_some_and(|(_, sent)| *sent < self.listeners.len())
    }

    /// Makes what is heard in this tick the latest packet. Returns how many missed the one before.
    fn tick(&mut self, now: Instant) -> usize {
        self.due = if now.saturating_duration_since(self.due) > CATCH_UP_MAX { now } else { self.due } + TICK;
        self.ticks += 1;
        self.sum.handle_timeout(now);
        self.sum.mix(now);
        let packet = AudioPacket {
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
        };
        let served = self.latest.replace((packet, 0)).map_or(self.listeners.len(), |(_, sent)| sent);
        let missed = self.listeners.len().saturating_sub(served);
        if missed > 0 {
            // Whoever missed one is first to have the next.
            self.listeners.rotate_left(served);
        }
        missed
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
    }

    /// Each 20 ms: mixes what is heard in each room with such players, and sends it to them, as far as there are turns. Whoever has
    /// had none by the next packet has missed one.
    pub(super) fn send_mixes(
        &mut self,
        now: Instant,
        turns: &mut usize,
        datagram: &mut Vec<u8>,
        mut each: impl FnMut(Path, &[u8]),
    ) {
        let (mut forwarded, mut panicked) = (0, Vec::new());
        self.mixes.rooms.retain(|room, mix| {
            if mix.due <= now {
                let waited = now.saturating_duration_since(mix.due);
                let Ok(missed) = catch_unwind(AssertUnwindSafe(|| mix.tick(now))) else {
                    warn!(%room, "mixing panicked: its players hear nothing more");
                    return false;
                };
                (0..missed).for_each(|_| self.gauge.took_turn(TICK + waited, 1));
            }
            let since = mix.due - TICK;
            let Some((packet, sent)) = &mut mix.latest else {
                return true;
            };
            for (id, slot) in mix.listeners.iter_mut().skip(*sent) {
                if *turns == 0 {
                    break;
                }
                (*turns, *sent) = (*turns - 1, *sent + 1);
                let endpoint = self.endpoints.get_mut(id).filter(|endpoint| endpoint.is_reachable);
                let peer = endpoint.and_then(|endpoint| endpoint.peer.as_mut());
                let Some((peer, rewritten)) = peer.zip(slot.rewrite(now, 0, packet)) else {
                    continue;
                };
                let forwards = std::iter::once(Forward { slot: 0, rewritten, packet, at: now });
                let send = || peer.send(now, AudioOrigin::Microphone, forwards, datagram, &mut each);
                match catch_unwind(AssertUnwindSafe(send)) {
                    Ok(sent) => {
                        forwarded += sent as u64;
                        self.gauge.took_turn(now.saturating_duration_since(since), 0);
                    }
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
