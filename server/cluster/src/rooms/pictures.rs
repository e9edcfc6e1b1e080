//! Pictures of rooms that span nodes: each stream of a camera or a screen has a channel of its own, to which those nodes subscribe
//! where it is watched. So a large picture crosses no link behind which everybody sees it small.
//!
//! A channel that brings nothing is subscribed to anew, as a room's is. If that doesn't help, another one is tried, and the
//! publishing node told so with what is wanted of it: it publishes on all that were asked for lately.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use selector::SourceId;
use tercet_core::{ENCODINGS_MAX, EncodingId, NodeId, RoomId};

use super::{DATA, OpenRoom, PULSE, PULSE_INTERVAL, Rooms, SILENCE_MAX, hash, number};
use crate::ids::to_sdn;
use crate::sdn::Sdn;

/// A stream is published for so long after it was last asked for.
const OFFERED_FOR: Duration = Duration::from_secs(10);

/// Who no longer wants a stream may want it again at once: a subscription is kept for so long.
const KEPT_FOR: Duration = Duration::from_secs(2);

/// A subscription that is ended before the next node has answered stays there for ten seconds.
const GUESS_KEPT_FOR: Duration = Duration::from_millis(500);

/// What is wanted of a picture of which nothing is known yet.
const ALL: u8 = u8::MAX;

/// Which of the channels of a stream: another one is tried where one brings nothing.
pub(super) type Attempt = u8;

/// Streams of a room here that are published. Nobody looks for who publishes them, so the network isn't told: it passes on what is sent
/// to whoever subscribed.
#[derive(Default)]
pub(super) struct Offered(BTreeMap<(EncodingId, Attempt), Offer>);

struct Offer {
    channel: u64,
    until: Instant,
    /// Unless something is sent before.
    pulse_at: Instant,
}

/// Pictures of a room that are wanted here, of other nodes.
#[derive(Default)]
pub(super) struct Pictures {
    wanted: BTreeMap<(NodeId, SourceId), Want>,
    subscribed: BTreeMap<(NodeId, EncodingId), Subscription>,
}

#[derive(Clone, Copy, Default)]
struct Want {
    /// Bit by bit; all while it isn't known yet.
    encodings: u8,
    /// Which one of its channels works is known also when nothing is wanted for a while.
    attempt: Attempt,
}

struct Subscription {
    /// It was subscribed to before it was known what is wanted.
    is_guess: bool,
    /// What names the channel, beside whose stream it is.
    epoch: u32,
    attempt: Attempt,
    heard_at: Instant,
    /// It was subscribed to anew since.
    was_retried: bool,
    unwanted_since: Option<Instant>,
}

/// The channel of a stream on a node.
fn channel(room: u64, node: NodeId, epoch: u32, encoding: EncodingId, attempt: Attempt) -> u64 {
    let mut text = [0; 22];
    text[..8].copy_from_slice(&room.to_be_bytes());
    text[8..12].copy_from_slice(&to_sdn(node).to_be_bytes());
    text[12..16].copy_from_slice(&epoch.to_be_bytes());
    text[16..20].copy_from_slice(&encoding.source.0.to_be_bytes());
    (text[20], text[21]) = (encoding.number, attempt);
    hash(&text)
}

impl Offered {
    /// A stream is asked for, or sent, on one of its channels, those of a node's part of a room of that number and epoch.
    fn offer(
        &mut self,
        now: Instant,
        (encoding, attempt): (EncodingId, Attempt),
        (room, node, epoch): (u64, NodeId, u32),
    ) {
        let offer = self.0.entry((encoding, attempt)).or_insert_with(|| {
            let channel = channel(room, node, epoch, encoding, attempt);
            Offer { channel, until: now, pulse_at: now }
        });
        offer.until = now + OFFERED_FOR;
    }

    /// The room's part is published under another epoch.
    pub(super) fn renumber(&mut self, room: u64, node: NodeId, epoch: u32) {
        for (&(encoding, attempt), offer) in &mut self.0 {
            offer.channel = channel(room, node, epoch, encoding, attempt);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Pictures {
    /// How many channels are subscribed to.
    pub(super) fn len(&self) -> usize {
        self.subscribed.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.subscribed.is_empty() && self.wanted.is_empty()
    }

    /// Something came on the channel of a stream.
    pub(super) fn heard(&mut self, now: Instant, node: NodeId, encoding: EncodingId) {
        if let Some(subscription) = self.subscribed.get_mut(&(node, encoding)) {
            (subscription.heard_at, subscription.was_retried) = (now, false);
        }
    }

    /// Nobody here wants any.
    pub(super) fn forget_all(&mut self) {
        self.wanted.clear();
    }

    /// A node has no part of the room any more.
    pub(super) fn forget(&mut self, gone: NodeId) {
        self.wanted.retain(|(node, _), _| *node != gone);
    }
}

impl Rooms {
    /// A stream here is wanted by another node, on that channel: it is published for a while.
    pub(crate) fn offer_picture(
        &mut self,
        now: Instant,
        room: &RoomId,
        encoding: EncodingId,
        attempt: Attempt,
    ) {
        let (number, node) = (number(room), self.node);
        let own = self.rooms.get_mut(&number).and_then(|open| open.own.as_mut());
        if let Some(own) = own.filter(|_| usize::from(encoding.number) < ENCODINGS_MAX) {
            own.offered.offer(now, (encoding, attempt), (number, node, own.epoch));
        }
    }

    /// Sends to all nodes that watch a stream.
    pub(crate) fn send_picture(
        &mut self,
        (now, now_ms): (Instant, u64),
        sdn: &mut Sdn,
        room: &RoomId,
        encoding: EncodingId,
        data: &[u8],
    ) {
        let (number, node) = (number(room), self.node);
        let open = self.rooms.get_mut(&number).filter(|open| !open.sources.is_empty());
        let Some(own) = open.and_then(|open| open.own.as_mut()) else {
            return;
        };
        // Whoever watches it and has not said yet how much of it subscribes to the first channel.
        own.offered.offer(now, (encoding, 0), (number, node, own.epoch));
        for offer in own.offered.0.range_mut((encoding, 0)..=(encoding, Attempt::MAX)).map(|(_, offer)| offer)
        {
            offer.pulse_at = now + PULSE_INTERVAL;
            let mut message = Vec::with_capacity(1 + data.len());
            message.push(DATA);
            message.extend_from_slice(data);
            sdn.send(now_ms, offer.channel, message);
        }
    }

    /// These streams of a node's picture are wanted here, bit by bit, and no others of it. Returns on which of their channels they are
    /// waited for: the node is to be told.
    pub(crate) fn want_picture(
        &mut self,
        (now, now_ms): (Instant, u64),
        sdn: &mut Sdn,
        room: &RoomId,
        (node, source): (NodeId, SourceId),
        encodings: u8,
    ) -> Attempt {
        let number = number(room);
        let Some(open) = self.rooms.get_mut(&number) else {
            return 0;
        };
        let wanted = &mut open.pictures.wanted;
        let former = wanted.get(&(node, source)).copied().unwrap_or_default();
        if former.encodings == encodings {
            return former.attempt;
        }
        let want = Want { encodings, ..former };
        if want.encodings == 0 && want.attempt == 0 {
            wanted.remove(&(node, source));
        } else {
            wanted.insert((node, source), want);
        }
        self.settle_pictures((now, now_ms), sdn, number);
        want.attempt
    }

    /// Subscribes to what is wanted of the nodes that are there, and ceases to where it isn't.
    pub(super) fn settle_pictures(&mut self, (now, now_ms): (Instant, u64), sdn: &mut Sdn, number: u64) {
        let Some(open) = self.rooms.get_mut(&number) else {
            return;
        };
        let OpenRoom { sources, pictures, .. } = open;
        let mut ended = Vec::new();
        for (&(node, encoding), subscription) in &mut pictures.subscribed {
            let epoch = sources.get(&node).map(|source| source.epoch);
            let want = pictures.wanted.get(&(node, encoding.source));
            let want = want.filter(|want| want.encodings & (1 << encoding.number) != 0);
            let is_another = want.is_some_and(|want| want.attempt != subscription.attempt);
            subscription.is_guess &= want.is_none_or(|want| want.encodings == ALL);
            subscription.unwanted_since = match want {
                Some(_) => None,
                None => subscription.unwanted_since.or(Some(now)),
            };
            let kept_for = if subscription.is_guess { GUESS_KEPT_FOR } else { KEPT_FOR };
            let is_over = subscription
                .unwanted_since
                .is_some_and(|since| now.saturating_duration_since(since) >= kept_for);
            if epoch != Some(subscription.epoch) || is_another || is_over {
                ended.push((node, encoding));
            }
        }
        for (node, encoding) in ended {
            if let Some(it) = pictures.subscribed.remove(&(node, encoding)) {
                let channel = channel(number, node, it.epoch, encoding, it.attempt);
                self.by_channel.remove(&channel);
                sdn.unsubscribe(now_ms, channel, node);
            }
        }
        for (&(node, source), &Want { encodings, attempt }) in &pictures.wanted {
            let Some(epoch) = sources.get(&node).map(|source| source.epoch) else {
                continue;
            };
            for encoding in (0..ENCODINGS_MAX as u8).filter(|encoding| encodings & (1 << encoding) != 0) {
                let encoding = EncodingId { source, number: encoding };
                pictures.subscribed.entry((node, encoding)).or_insert_with(|| {
                    let channel = channel(number, node, epoch, encoding, attempt);
                    self.by_channel.insert(channel, (number, node, Some(encoding)));
                    sdn.subscribe(now_ms, channel, node);
                    let (heard_at, was_retried, unwanted_since) = (now, false, None);
                    let is_guess = encodings == ALL;
                    Subscription { is_guess, epoch, attempt, heard_at, was_retried, unwanted_since }
                });
            }
        }
    }

    /// What is due: pulses of what is offered, its end, and what to do where nothing came.
    pub(super) fn tend_pictures(&mut self, (now, now_ms): (Instant, u64), sdn: &mut Sdn, number: u64) {
        let resubscribed = &mut self.resubscribed;
        let Some(open) = self.rooms.get_mut(&number) else {
            return;
        };
        let has_others = !open.sources.is_empty();
        if let Some(own) = open.own.as_mut() {
            own.offered.0.retain(|_, offer| {
                if has_others && offer.pulse_at <= now {
                    offer.pulse_at = now + PULSE_INTERVAL;
                    sdn.send(now_ms, offer.channel, vec![PULSE]);
                }
                offer.until > now
            });
        }
        let pictures = &mut open.pictures;
        let mut stuck = Vec::new();
        for (&(node, encoding), subscription) in &mut pictures.subscribed {
            let is_wanted = subscription.unwanted_since.is_none();
            if !is_wanted || now.saturating_duration_since(subscription.heard_at) < SILENCE_MAX {
                continue;
            }
            subscription.heard_at = now;
            if std::mem::replace(&mut subscription.was_retried, true) {
                stuck.push((node, encoding));
            } else {
                let channel = channel(number, node, subscription.epoch, encoding, subscription.attempt);
                sdn.unsubscribe(now_ms, channel, node);
                sdn.subscribe(now_ms, channel, node);
                *resubscribed += 1;
            }
        }
        for (node, encoding) in stuck {
            // Of several streams of one picture the first has done it.
            let tried = pictures.subscribed.get(&(node, encoding)).map(|it| it.attempt);
            let want = pictures.wanted.get_mut(&(node, encoding.source));
            if let Some(want) = want.filter(|want| Some(want.attempt) == tried) {
                want.attempt = want.attempt.wrapping_add(1);
                self.replaced += 1;
            }
        }
        self.settle_pictures((now, now_ms), sdn, number);
    }
}
