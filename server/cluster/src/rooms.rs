//! On which nodes a room is, and what these send each other of it.
//!
//! Each node with a part of a room says so under the room's name in the key-value store, and publishes on a channel of its own,
//! to which the others subscribe. So a packet crosses each link once, however many nodes are behind it.
//!
//! Values in the store never expire, and the next life of a node leaves the former's: a value counts only while the life that
//! wrote it is a member. A channel that brings nothing from a node that is there, though it says something each second, is
//! subscribed to anew; if that doesn't help, the node is asked to publish on another one
//! (docs/adr/0024-atm0s-sdn-behind-one-boundary.md).

mod pictures;

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use aws_lc_rs::digest::{SHA256, digest};
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};
use tercet_core::{EncodingId, NodeId, RoomId};

use self::pictures::{Offered, Pictures};
use crate::ids::{BootId, to_sdn};
use crate::members::Members;
use crate::sdn::Sdn;

/// A channel on which nothing else is said says that it is there.
const PULSE_INTERVAL: Duration = Duration::from_secs(1);

/// A channel that was silent for so long is subscribed to anew, and after as long again the node is asked for another.
const SILENCE_MAX: Duration = Duration::from_millis(2500);

/// Two values of one key in one millisecond are one to the store: they are set no faster than this.
const SET_INTERVAL: Duration = Duration::from_millis(50);

/// A room that was closed is forgotten then: whoever comes back at once finds it as it was.
const FORGET_AFTER: Duration = Duration::from_millis(500);

/// So many lives of a node are remembered in a room: the last isn't always the one with the latest clock.
const LIVES_MAX: usize = 3;

/// The longest value that the store can hand on in one datagram, what is around it aside.
pub(crate) const CARRIED_BYTES_MAX: usize = 1000;

/// What the data on a channel begins with.
const PULSE: u8 = 0;
const DATA: u8 = 1;

/// What a node says of its part of a room, in the store.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Entry {
    /// Two names may have one number.
    room: String,
    boot: BootId,
    /// Which channel it publishes on.
    epoch: u32,
    carried: Vec<u8>,
}

/// What became of a room elsewhere.
#[derive(Debug, PartialEq)]
pub(crate) enum RoomEvent {
    /// Whether a node has a part of the room.
    Present {
        room: RoomId,
        node: NodeId,
        is_present: bool,
    },
    /// What a node wants known of the room, while it lives and after.
    Carried {
        room: RoomId,
        node: NodeId,
        boot: BootId,
        carried: Vec<u8>,
    },
    Data {
        room: RoomId,
        node: NodeId,
        data: Vec<u8>,
    },
    /// A node's channel brings nothing.
    Stuck {
        room: RoomId,
        node: NodeId,
        epoch: u32,
    },
}

/// A room that is open here, or that somebody here asks for.
struct OpenRoom {
    id: RoomId,
    /// What we say of it, and when it may be set next; `None` for one that is only watched.
    own: Option<Own>,
    /// When it was closed last: unless it is wanted again, it is forgotten a little later.
    closed_at: Option<Instant>,
    is_wanted: bool,
    /// What each life of a node says of its part.
    entries: BTreeMap<(NodeId, BootId), Entry>,
    sources: BTreeMap<NodeId, Source>,
    pictures: Pictures,
}

struct Own {
    epoch: u32,
    offered: Offered,
    carried: Vec<u8>,
    is_changed: bool,
    set_at: Option<Instant>,
    pulse_at: Instant,
}

/// A channel that we subscribed to.
struct Source {
    epoch: u32,
    heard_at: Instant,
    /// It was subscribed to anew since.
    was_retried: bool,
}

/// The rooms of a node, as the cluster knows them.
pub(crate) struct Rooms {
    node: NodeId,
    boot: BootId,
    rooms: FxHashMap<u64, OpenRoom>,
    /// Of which room each channel is, of which node, and of which stream if it is a picture's.
    by_channel: FxHashMap<u64, (u64, NodeId, Option<EncodingId>)>,
    events: VecDeque<RoomEvent>,
    /// Counts the channels that this life of the node has published on: none twice.
    epoch_next: u32,
    /// Channels that had to be subscribed to anew, and those that were given up.
    pub(crate) resubscribed: u64,
    pub(crate) replaced: u64,
}

/// A room's number in the network.
fn number(room: &RoomId) -> u64 {
    hash(room.as_str().as_bytes())
}

fn hash(text: &[u8]) -> u64 {
    let digest = digest(&SHA256, text);
    u64::from_be_bytes(digest.as_ref()[..8].try_into().expect("SHA-256 has 32 bytes"))
}

/// The channel of a node's part of a room.
fn channel(room: u64, node: NodeId, epoch: u32) -> u64 {
    let mut text = [0; 16];
    text[..8].copy_from_slice(&room.to_be_bytes());
    text[8..12].copy_from_slice(&to_sdn(node).to_be_bytes());
    text[12..].copy_from_slice(&epoch.to_be_bytes());
    hash(&text)
}

impl Rooms {
    pub(crate) fn new(node: NodeId, boot: BootId) -> Rooms {
        Rooms {
            node,
            boot,
            rooms: FxHashMap::default(),
            by_channel: FxHashMap::default(),
            events: VecDeque::new(),
            // Another life of ours may have published on the first channels: relays may still think of it.
            epoch_next: boot.0 as u32,
            resubscribed: 0,
            replaced: 0,
        }
    }

    /// A part of a room is here from now on.
    pub(crate) fn open(&mut self, now: Instant, now_ms: u64, sdn: &mut Sdn, room: &RoomId) {
        self.watch(now_ms, sdn, room);
        let number = number(room);
        let node = self.node;
        let Some(open) = self.rooms.get_mut(&number).filter(|open| open.own.is_none()) else {
            return;
        };
        self.epoch_next = self.epoch_next.wrapping_add(1);
        let epoch = self.epoch_next;
        // What the store was told when it was closed and what it is told now have to be apart.
        let set_at = open.closed_at;
        let (carried, is_changed, pulse_at) = (Vec::new(), true, now);
        let offered = Offered::default();
        open.own = Some(Own { epoch, offered, carried, is_changed, set_at, pulse_at });
        // Of what was known before it was open, nobody has been told who could do anything about it.
        for (&(node, boot), Entry { carried, .. }) in &open.entries {
            let (room, carried) = (room.clone(), carried.clone());
            self.events.push_back(RoomEvent::Carried { room, node, boot, carried });
        }
        for &node in open.sources.keys() {
            self.events.push_back(RoomEvent::Present { room: room.clone(), node, is_present: true });
        }
        sdn.publish(now_ms, channel(number, node, epoch));
        self.set_due(now, now_ms, sdn);
    }

    /// Somebody wants to know where a room is.
    pub(crate) fn watch(&mut self, now_ms: u64, sdn: &mut Sdn, room: &RoomId) {
        let number = number(room);
        let watched = self.rooms.entry(number).or_insert_with(|| {
            sdn.watch(now_ms, number);
            OpenRoom {
                id: room.clone(),
                own: None,
                closed_at: None,
                is_wanted: true,
                entries: BTreeMap::new(),
                sources: BTreeMap::new(),
                pictures: Pictures::default(),
            }
        });
        // It is of use when it was closed, for the store, but it is not forgotten.
        watched.is_wanted = true;
    }

    /// No part of a room is here any more, and nobody asks for it.
    pub(crate) fn close(&mut self, now: Instant, now_ms: u64, sdn: &mut Sdn, room: &RoomId) {
        let number = number(room);
        let Some(open) = self.rooms.get_mut(&number) else {
            return;
        };
        if let Some(own) = open.own.take() {
            sdn.unpublish(now_ms, channel(number, self.node, own.epoch));
            sdn.delete(now_ms, number, u64::from(to_sdn(self.node)));
        }
        open.pictures.forget_all();
        (open.closed_at, open.is_wanted) = (Some(now), false);
    }

    /// A room that was closed, and not opened again.
    fn forget(&mut self, now: Instant, now_ms: u64, sdn: &mut Sdn, number: u64) {
        let Some(open) = self.rooms.get_mut(&number) else {
            return;
        };
        let sources = std::mem::take(&mut open.sources);
        for (node, source) in sources {
            let channel = channel(number, node, source.epoch);
            self.by_channel.remove(&channel);
            sdn.unsubscribe(now_ms, channel, node);
        }
        // Of nodes that aren't there, nothing is subscribed to.
        self.settle_pictures((now, now_ms), sdn, number);
        self.rooms.remove(&number);
        sdn.unwatch(now_ms, number);
    }

    /// What the others are to know of our part of a room, also when we are gone: at most [`CARRIED_BYTES_MAX`] bytes.
    pub(crate) fn carry(
        &mut self,
        now: Instant,
        now_ms: u64,
        sdn: &mut Sdn,
        room: &RoomId,
        carried: Vec<u8>,
    ) {
        let own = self.rooms.get_mut(&number(room)).and_then(|open| open.own.as_mut());
        if let Some(own) = own.filter(|own| own.carried != carried && carried.len() <= CARRIED_BYTES_MAX) {
            own.carried = carried;
            own.is_changed = true;
            self.set_due(now, now_ms, sdn);
        }
    }

    /// Sends to all nodes that have a part of the room.
    pub(crate) fn send(&mut self, now: Instant, now_ms: u64, sdn: &mut Sdn, room: &RoomId, data: &[u8]) {
        let number = number(room);
        let open = self.rooms.get_mut(&number).filter(|open| !open.sources.is_empty());
        let Some(own) = open.and_then(|open| open.own.as_mut()) else {
            return;
        };
        own.pulse_at = now + PULSE_INTERVAL;
        let mut message = Vec::with_capacity(1 + data.len());
        message.push(DATA);
        message.extend_from_slice(data);
        sdn.send(now_ms, channel(number, self.node, own.epoch), message);
    }

    /// The nodes that have a part of a room, this one aside.
    pub(crate) fn nodes_of(&self, room: &RoomId) -> impl Iterator<Item = NodeId> {
        self.rooms.get(&number(room)).into_iter().flat_map(|open| open.sources.keys().copied())
    }

    /// How many channels of pictures we subscribed to.
    pub(crate) fn pictures(&self) -> usize {
        self.rooms.values().map(|open| open.pictures.len()).sum()
    }

    /// The channels that we subscribed to, those of pictures aside: of which room, and of which node.
    pub(crate) fn sources(&self) -> impl Iterator<Item = (&RoomId, NodeId)> {
        self.rooms.values().flat_map(|open| open.sources.keys().map(|&node| (&open.id, node)))
    }

    /// A value of the store.
    pub(crate) fn map_changed(
        &mut self,
        now: Instant,
        now_ms: u64,
        (sdn, members): (&mut Sdn, &Members),
        (number, node): (u64, NodeId),
        value: Option<&[u8]>,
    ) {
        if node == self.node {
            return;
        }
        let Some(open) = self.rooms.get_mut(&number) else {
            return;
        };
        let entry: Option<Entry> = value.and_then(|value| postcard::from_bytes(value).ok());
        let entry = entry.filter(|entry| entry.room == open.id.as_str());
        if let Some(entry) = entry {
            let (life, carried) = ((node, entry.boot), entry.carried.clone());
            let known = open.entries.insert(life, entry);
            if known.is_none_or(|known| known.carried != carried) {
                let (room, boot) = (open.id.clone(), life.1);
                self.events.push_back(RoomEvent::Carried { room, node, boot, carried });
            }
            // Of former lives there may be values for ever.
            let lives: Vec<BootId> =
                open.entries.keys().filter(|(of, _)| *of == node).map(|(_, boot)| *boot).collect();
            let former =
                lives.iter().filter(|boot| **boot != life.1 && members.boot_of(node) != Some(**boot));
            for boot in former.take(lives.len().saturating_sub(LIVES_MAX)) {
                open.entries.remove(&(node, *boot));
            }
        } else {
            open.entries.retain(|(of, _), _| *of != node);
        }
        self.settle(now, now_ms, sdn, members, number, node);
    }

    /// A node came, or went.
    pub(crate) fn node_changed(
        &mut self,
        now: Instant,
        now_ms: u64,
        sdn: &mut Sdn,
        members: &Members,
        node: NodeId,
    ) {
        let concerned = |open: &OpenRoom| {
            open.entries.keys().any(|(of, _)| *of == node) || open.sources.contains_key(&node)
        };
        let rooms: Vec<u64> =
            self.rooms.iter().filter(|(_, o)| concerned(o)).map(|(number, _)| *number).collect();
        for number in rooms {
            self.settle(now, now_ms, sdn, members, number, node);
        }
    }

    /// Subscribes to a node's part of a room, or ceases to, as things stand.
    fn settle(
        &mut self,
        now: Instant,
        now_ms: u64,
        sdn: &mut Sdn,
        members: &Members,
        number: u64,
        node: NodeId,
    ) {
        let Some(open) = self.rooms.get_mut(&number) else {
            return;
        };
        let entry = members.boot_of(node).and_then(|boot| open.entries.get(&(node, boot)));
        let wanted = entry.map(|entry| entry.epoch);
        let had = open.sources.get(&node).map(|source| source.epoch);
        if wanted == had {
            return;
        }
        if let Some(epoch) = had {
            let channel = channel(number, node, epoch);
            self.by_channel.remove(&channel);
            open.sources.remove(&node);
            sdn.unsubscribe(now_ms, channel, node);
        }
        if let Some(epoch) = wanted {
            let channel = channel(number, node, epoch);
            self.by_channel.insert(channel, (number, node, None));
            open.sources.insert(node, Source { epoch, heard_at: now, was_retried: false });
            sdn.subscribe(now_ms, channel, node);
        }
        if wanted.is_some() != had.is_some() {
            let is_present = wanted.is_some();
            if !is_present {
                open.pictures.forget(node);
            }
            self.events.push_back(RoomEvent::Present { room: open.id.clone(), node, is_present });
        }
        self.settle_pictures((now, now_ms), sdn, number);
    }

    /// Something came on a channel.
    pub(crate) fn channel_data(&mut self, now: Instant, channel: u64, from: NodeId, data: &[u8]) {
        let known = self.by_channel.get(&channel).filter(|(_, node, _)| *node == from);
        let Some(&(number, node, encoding)) = known else {
            return;
        };
        let Some(open) = self.rooms.get_mut(&number) else {
            return;
        };
        match encoding {
            Some(encoding) => open.pictures.heard(now, node, encoding),
            None => {
                if let Some(source) = open.sources.get_mut(&node) {
                    (source.heard_at, source.was_retried) = (now, false);
                }
            }
        }
        if let Some((&DATA, data)) = data.split_first() {
            let (room, data) = (open.id.clone(), data.to_vec());
            self.events.push_back(RoomEvent::Data { room, node, data });
        }
    }

    /// A subscriber says that our channel brings nothing: we publish on another.
    pub(crate) fn replace_channel(
        &mut self,
        now: Instant,
        now_ms: u64,
        sdn: &mut Sdn,
        room: &RoomId,
        epoch: u32,
    ) {
        let number = number(room);
        let Some(open) = self.rooms.get_mut(&number) else {
            return;
        };
        // Of several who say so, the first has changed it.
        let Some(own) = open.own.as_mut().filter(|own| own.epoch == epoch) else {
            return;
        };
        sdn.unpublish(now_ms, channel(number, self.node, own.epoch));
        self.epoch_next = self.epoch_next.wrapping_add(1);
        own.epoch = self.epoch_next;
        own.offered.renumber(number, self.node, own.epoch);
        own.is_changed = true;
        own.pulse_at = now;
        sdn.publish(now_ms, channel(number, self.node, own.epoch));
        self.replaced += 1;
        self.set_due(now, now_ms, sdn);
    }

    /// Pulses, silent channels, pictures, and what is yet to be set.
    pub(crate) fn handle_timeout(&mut self, now: Instant, now_ms: u64, sdn: &mut Sdn) {
        self.set_due(now, now_ms, sdn);
        let is_over =
            |open: &OpenRoom| !open.is_wanted && open.closed_at.is_some_and(|at| now >= at + FORGET_AFTER);
        let over = self.rooms.iter().filter(|(_, open)| is_over(open)).map(|(number, _)| *number);
        for number in over.collect::<Vec<_>>() {
            self.forget(now, now_ms, sdn, number);
        }
        for (&number, open) in &mut self.rooms {
            let has_others = !open.sources.is_empty();
            if let Some(own) = open.own.as_mut().filter(|own| has_others && own.pulse_at <= now) {
                own.pulse_at = now + PULSE_INTERVAL;
                sdn.send(now_ms, channel(number, self.node, own.epoch), vec![PULSE]);
            }
            for (&node, source) in &mut open.sources {
                if now.saturating_duration_since(source.heard_at) < SILENCE_MAX {
                    continue;
                }
                source.heard_at = now;
                if std::mem::replace(&mut source.was_retried, true) {
                    let (room, epoch) = (open.id.clone(), source.epoch);
                    self.events.push_back(RoomEvent::Stuck { room, node, epoch });
                } else {
                    let channel = channel(number, node, source.epoch);
                    sdn.unsubscribe(now_ms, channel, node);
                    sdn.subscribe(now_ms, channel, node);
                    self.resubscribed += 1;
                }
            }
        }
        let has_pictures = |open: &OpenRoom| {
            let offers = open.own.as_ref().is_some_and(|own| !own.offered.is_empty());
            offers || !open.pictures.is_empty()
        };
        let rooms = self.rooms.iter().filter(|(_, open)| has_pictures(open)).map(|(number, _)| *number);
        for number in rooms.collect::<Vec<_>>() {
            self.tend_pictures((now, now_ms), sdn, number);
        }
    }

    fn set_due(&mut self, now: Instant, now_ms: u64, sdn: &mut Sdn) {
        let (node, boot) = (self.node, self.boot);
        for (&number, open) in &mut self.rooms {
            let Some(own) = open.own.as_mut().filter(|own| own.is_changed) else {
                continue;
            };
            if own.set_at.is_some_and(|at| now < at + SET_INTERVAL) {
                continue;
            }
            (own.is_changed, own.set_at) = (false, Some(now));
            let (room, epoch, carried) = (open.id.to_string(), own.epoch, own.carried.clone());
            let entry =
                postcard::to_stdvec(&Entry { room, boot, epoch, carried }).expect("it can be written");
            sdn.set(now_ms, number, u64::from(to_sdn(node)), entry);
        }
    }

    pub(crate) fn poll_event(&mut self) -> Option<RoomEvent> {
        self.events.pop_front()
    }
}
