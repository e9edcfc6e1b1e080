//! What happens each 20 ms: phones are heard, rooms mixed, phones told, and other workers passed what is theirs.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use arrayvec::ArrayVec;
use audio_mixer::SILENCE;
use bytes::BytesMut;
use tercet_protocol::TrackOrigin;
use tercet_sip_gateway::signalling::CallId;

use super::{CALLS_AT_ONCE, EVENTS_MAX, RoomKey, Thread};
use crate::media::WorkerEvent;
use crate::phones::line::{Line, Received, Sent};
use crate::phones::metrics::PhoneMetrics;
use crate::phones::room::{PhoneEvent, PhoneRoom};

/// All that there is of a call is read so often, each in a tick of its own: a second.
const READ_ALL_TICKS: u64 = 50;

impl Thread {
    /// 20 ms pass: hears all phones, adds up what there is, and tells each.
    pub(super) fn tick(&mut self, now: Instant) {
        self.ticks += 1;
        self.inbox.set_time(now);
        self.hear(now);
        for room in self.rooms.values_mut() {
            room.handle_timeout(now);
            room.mix(now);
        }
        self.speak(now);
        for room in self.rooms.keys().copied().collect::<Vec<_>>() {
            self.pass_on(room);
        }
    }

    /// Reads each phone, and tells its room what it says.
    fn hear(&mut self, now: Instant) {
        let Thread { lines, rooms, room_keys, inbox, metrics, ticks, silent_after, .. } = self;
        let (mut received, mut frame) = (Received::default(), SILENCE);
        let mut due = lines.iter_mut().filter_map(|(call, line)| {
            if let Some((room, endpoint)) = &line.enters
                && let Some(key) = room_keys.get(room)
            {
                (line.room, line.enters) = (Some((*key, *endpoint)), None);
            }
            let nth = call.0 + *ticks;
            let is_all = nth.is_multiple_of(READ_ALL_TICKS);
            let is_due = line.begin_tick(nth) || is_all;
            is_due.then_some((*call, line, is_all))
        });
        loop {
            inbox.clear();
            let mut read: ArrayVec<_, CALLS_AT_ONCE> = ArrayVec::new();
            for (call, line, is_all) in due.by_ref().take(CALLS_AT_ONCE) {
                let own = if is_all { line.read_all(inbox) } else { line.read(inbox) };
                read.push((call, line, own));
            }
            if read.is_empty() {
                break;
            }
            for (call, line, own) in read {
                guarded(metrics, call, line, |line| line.take(inbox, own, &mut received));
                while let Some(kind) =
                    guarded(metrics, call, line, |line| line.next_heard(now, &mut frame)).flatten()
                {
                    let room = line.room.as_ref();
                    let room = room.and_then(|(room, endpoint)| Some((rooms.get_mut(room)?, *endpoint)));
                    let rests = room.is_some_and(|(room, endpoint)| room.hear(now, endpoint, &frame, kind));
                    line.was_heard(&frame, rests);
                }
                line.look_whether_it_is_there(now, *silent_after);
            }
        }
        metrics.received(&received);
    }

    /// Tells each phone what it hears in this tick.
    fn speak(&mut self, now: Instant) {
        let Thread { lines, rooms, inbox, outbox, metrics, .. } = self;
        let mut sent = Sent::default();
        let mut lines = lines.values_mut();
        loop {
            let mut made: ArrayVec<_, CALLS_AT_ONCE> = ArrayVec::new();
            while let Some(datagram) = outbox.get_mut(made.len())
                && let Some(line) = lines.next()
            {
                if let Some(to) = next_packet(now, line, rooms, datagram) {
                    made.push((line, to));
                }
            }
            if made.is_empty() {
                break;
            }
            for ((line, to), datagram) in made.into_iter().zip(outbox.iter()) {
                sent.count(datagram, line.send(false, datagram, to));
                if let Some(leg) = &mut line.leg
                    && let Some((report, to)) = leg.report(now, inbox.wall(), rand::random)
                {
                    let is_on_rtp = leg.agreed().rtcp_mux;
                    line.send(!is_on_rtp, &report, to);
                }
            }
        }
        metrics.sent(&sent);
    }

    /// Tells other workers and the control plane what a room has for them.
    pub(super) fn pass_on(&mut self, room: RoomKey) {
        let Some(local) = self.rooms.get_mut(&room) else {
            return;
        };
        for (worker, crossing) in local.outgoing() {
            let sent = self.workers.get(worker.0).is_some_and(|sender| sender.send(crossing));
            if !sent {
                self.metrics.crossing_dropped.increment(1);
            }
        }
        let origin = TrackOrigin::Microphone;
        for event in local.events() {
            let event = match event {
                PhoneEvent::Started(endpoint) => WorkerEvent::PublishingStarted { endpoint, origin },
                PhoneEvent::Ended(endpoint) => WorkerEvent::PublishingEnded { endpoint, origin },
            };
            if self.backlog.len() < EVENTS_MAX {
                self.backlog.push(event);
            } else {
                self.metrics.events_dropped.increment(1);
            }
        }
    }
}

/// The packet for a phone's next 20 ms, and where it goes; `None` if it is to hear nothing.
fn next_packet(
    now: Instant,
    line: &mut Line,
    rooms: &mut BTreeMap<RoomKey, PhoneRoom>,
    datagram: &mut BytesMut,
) -> Option<SocketAddr> {
    let leg = line.leg.as_mut()?;
    leg.tick();
    if !leg.sends(now) {
        return None;
    }
    let codec = leg.agreed().codec;
    let room = line.room.as_ref().and_then(|(room, endpoint)| Some((rooms.get_mut(room)?, *endpoint)));
    let payload = match (line.next_played(), room) {
        (Some(played), _) => line.encode(&played, &SILENCE, codec),
        (None, Some((room, endpoint))) => match room.own_frame(endpoint) {
            None if !line.has_volume() => {
                line.forget_encoder();
                room.shared_payload(codec)
            }
            own => {
                let mut frame = own.unwrap_or(*room.shared());
                line.amplify(&mut frame);
                line.encode(&frame, room.shared_before(), codec)
            }
        },
        (None, None) => line.encode(&SILENCE, &SILENCE, codec),
    };
    line.leg.as_mut()?.packet(now, &payload, datagram)
}

/// What a phone sent is read and decoded so: it can end its own call at most.
fn guarded<T>(
    metrics: &PhoneMetrics,
    call: CallId,
    line: &mut Line,
    act: impl FnOnce(&mut Line) -> T,
) -> Option<T> {
    let done = catch_unwind(AssertUnwindSafe(|| act(line)));
    done.inspect_err(|_| metrics.line_failed(call, line)).ok()
}
