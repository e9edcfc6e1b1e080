//! A node of the cluster: datagrams, rooms and messages in; datagrams and events out.
//!
//! The contract: call what happened, then [`Cluster::poll_output`] until it gives `None`, then wait until
//! [`Cluster::next_timeout`] at most.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use selector::SourceId;
use serde::{Deserialize, Serialize};
use tercet_core::{EncodingId, NodeId, RoomId};

use crate::clock::ClusterClock;
use crate::ids::{BootId, to_sdn};
use crate::link::{Farewell, LinkEvent, LinkId, LinkQuality, Links};
use crate::members::{MemberEvent, Members, NodeInfo, NodeState, Reach};
use crate::noise::Secret;
use crate::rooms::{RoomEvent, Rooms};
use crate::routes::{self, Route};
use crate::sdn::{Sdn, SdnEvent};
use crate::stream::{Stream, StreamEvent};

/// How often is looked whether something is due below.
const TICK: Duration = Duration::from_millis(50);

/// A node whose link ended is asked by other ways: so often, and so long.
const ASK_INTERVAL: Duration = Duration::from_millis(200);
const ASK_FOR: Duration = Duration::from_millis(800);

/// How often neighbours are greeted that don't know this node.
const MEET_INTERVAL: Duration = Duration::from_secs(1);

/// So many nodes of a zone speak with other zones.
const BORDERS: usize = 2;

/// Where nodes were that are gone is tried for so long: a cut may end.
const REMEMBER_FOR: Duration = Duration::from_secs(600);
const REMEMBERED_MAX: usize = 64;

/// Which links there are to be is looked at when somebody comes, goes or moves; and so often, for what is no longer remembered.
const LINKS_INTERVAL: Duration = Duration::from_secs(2);

/// A link's control messages are held back so long for each percent that it loses, so that its round trip, by which
/// routes are chosen, tells of the loss too.
const LOSS_PENALTY_PER_PERCENT: Duration = Duration::from_millis(10);
const LOSS_PENALTY_MAX: Duration = Duration::from_millis(500);

/// What a message between nodes begins with.
const MEMBERS: u8 = 0;
const STREAM: u8 = 1;
const ASK: u8 = 2;
const HERE: u8 = 3;
const STUCK: u8 = 4;

/// What a node begins with.
#[derive(Clone)]
pub struct ClusterConfig {
    /// Unique in the cluster.
    pub node: NodeId,
    /// This life of it.
    pub boot: BootId,
    /// The same on all nodes.
    pub secret: Secret,
    /// What the others learn of it.
    pub info: NodeInfo,
    /// Milliseconds since 1970, by the machine's clock.
    pub wall_ms: u64,
}

/// What happened in the cluster.
#[derive(Debug, PartialEq)]
pub enum ClusterEvent {
    /// A node is there.
    NodeUp(NodeId, BootId),
    /// It is gone, or can't be reached.
    NodeDown(NodeId, BootId),
    /// It said something else of itself: see [`Cluster::nodes`].
    NodeChanged(NodeId),
    /// A node has a part of a room that is open here, or no longer.
    RoomNode {
        /// Which room.
        room: RoomId,
        /// Which node.
        node: NodeId,
        /// Whether it has one.
        is_present: bool,
    },
    /// What a node wants known of a room, living or dead: see [`Cluster::carry`].
    Carried {
        /// Which room.
        room: RoomId,
        /// Which node.
        node: NodeId,
        /// Which life of it.
        boot: BootId,
        /// What.
        carried: Vec<u8>,
    },
    /// A node sent something to all that have a part of a room.
    Data {
        /// Which room.
        room: RoomId,
        /// Which node.
        node: NodeId,
        /// What.
        data: Vec<u8>,
    },
    /// What was sent to a node before may have been lost: tell it all again.
    StreamBegan(NodeId),
    /// A message of a node, in order.
    Message(NodeId, Vec<u8>),
    /// The cluster's clock is ahead of ours by so much more: somebody's clock is wrong.
    ClockMoved(Duration),
    /// There is another node of our id, and it was there before: it says so itself, or another node, at this address.
    IdTaken(SocketAddr),
    /// A link ended.
    LinkLost(NodeId, Farewell),
    /// Asked for with [`Cluster::ask_routes`].
    Routes(Vec<Route>),
}

/// What is to be done.
#[derive(Debug)]
pub enum Output {
    /// Send a datagram.
    Transmit {
        /// Where to.
        to: SocketAddr,
        /// What.
        datagram: Vec<u8>,
    },
    /// Take note.
    Event(ClusterEvent),
}

/// A link, as people read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkStatus {
    /// To whom.
    pub node: NodeId,
    /// Where.
    pub address: SocketAddr,
    /// Since when.
    pub up_since: Instant,
    /// When anything came by it last: beats do, three times a second.
    pub heard_at: Instant,
    /// How good it is.
    pub quality: LinkQuality,
}

/// What can be counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClusterCounts {
    /// Datagrams that nobody with the secret can have sent, or that came twice.
    pub forged: u64,
    /// Datagrams that went in a circle from node to node, and were dropped.
    pub circled: u64,
    /// Channels that brought nothing, and were subscribed to anew.
    pub resubscribed: u64,
    /// Channels that were given up for another.
    pub replaced: u64,
    /// Datagrams of media that were sent to a neighbour.
    pub media_sent: u64,
    /// Channels of other nodes that we subscribed to.
    pub sources: u64,
}

#[derive(Serialize, Deserialize)]
struct StuckChannel {
    room: String,
    epoch: u32,
}

/// A node that doesn't answer on its link any more.
struct Asked {
    boot: BootId,
    next: Instant,
    until: Instant,
}

/// A node of the cluster.
pub struct Cluster {
    node: NodeId,
    boot: BootId,
    clock: ClusterClock,
    links: Links,
    sdn: Sdn,
    members: Members,
    rooms: Rooms,
    streams: BTreeMap<NodeId, Stream>,
    /// Which stream to which life of a node was given up last: the other side may have it still.
    given_up: BTreeMap<NodeId, (BootId, u32)>,
    /// Those of them that have something to be taken, or will.
    busy_streams: BTreeSet<NodeId>,
    seeds: BTreeSet<SocketAddr>,
    /// Where neighbours were that are gone, and until when that is tried.
    remembered: BTreeMap<SocketAddr, Instant>,
    asked: BTreeMap<NodeId, Asked>,
    /// Datagrams of links that lose some, until they are sent.
    held: VecDeque<(Instant, LinkId, Vec<u8>)>,
    tick_at: Instant,
    meet_at: Instant,
    links_at: Instant,
    media_sent: u64,
    events: VecDeque<ClusterEvent>,
}

impl Cluster {
    /// A node that knows nobody yet.
    pub fn new(now: Instant, config: ClusterConfig) -> Cluster {
        let ClusterConfig { node, boot, secret, info, wall_ms } = config;
        let clock = ClusterClock::new(now, wall_ms);
        Cluster {
            node,
            boot,
            links: Links::new(now, node, boot, secret),
            sdn: Sdn::new(clock.ms(now), node, boot.0),
            members: Members::new(now, node, boot, info, boot.0),
            rooms: Rooms::new(node, boot),
            clock,
            streams: BTreeMap::new(),
            given_up: BTreeMap::new(),
            busy_streams: BTreeSet::new(),
            seeds: BTreeSet::new(),
            remembered: BTreeMap::new(),
            asked: BTreeMap::new(),
            held: VecDeque::new(),
            tick_at: now,
            meet_at: now + MEET_INTERVAL,
            links_at: now + LINKS_INTERVAL,
            media_sent: 0,
            events: VecDeque::new(),
        }
    }

    /// Its own id.
    pub fn node(&self) -> NodeId {
        self.node
    }

    /// Milliseconds since 1970, as the cluster counts them.
    pub fn time_ms(&self, now: Instant) -> u64 {
        self.clock.ms(now)
    }

    /// The addresses to begin with: any nodes of the cluster.
    pub fn set_seeds(&mut self, now: Instant, seeds: impl IntoIterator<Item = SocketAddr>) {
        self.seeds = seeds.into_iter().collect();
        self.want_links(now);
    }

    /// What the others are to know of this node.
    pub fn set_info(&mut self, now: Instant, info: NodeInfo) {
        let links = self.links.iter().map(|link| {
            let quality = link.quality();
            (link.node, quality.rtt.unwrap_or_default().as_micros() as u32, quality.lost_out_permille)
        });
        /// More would not fit into what SWIM carries along.
        const LINKS_TOLD_MAX: usize = 64;
        let links = links.take(LINKS_TOLD_MAX).collect();
        self.members.set_info(now, NodeInfo { links, ..info });
        self.settle(now);
    }

    /// What the others know of this node.
    pub fn own_info(&self) -> &NodeInfo {
        self.members.own_info()
    }

    /// The other nodes, and what they say of themselves.
    pub fn nodes(&self) -> impl Iterator<Item = (NodeId, NodeState)> {
        self.members.up()
    }

    /// The links of this node.
    pub fn links(&self) -> impl Iterator<Item = LinkStatus> {
        self.links.iter().map(|link| LinkStatus {
            node: link.node,
            address: link.address,
            up_since: link.up_since,
            heard_at: link.heard_at(),
            quality: link.quality(),
        })
    }

    /// The channels of rooms that this node subscribed to: of which room, and of which node.
    pub fn sources(&self) -> impl Iterator<Item = (&RoomId, NodeId)> {
        self.rooms.sources()
    }

    /// What there was so far.
    pub fn counts(&self) -> ClusterCounts {
        ClusterCounts {
            forged: self.links.forged,
            circled: self.sdn.circled,
            resubscribed: self.rooms.resubscribed,
            replaced: self.rooms.replaced,
            media_sent: self.media_sent,
            sources: (self.rooms.sources().count() + self.rooms.pictures()) as u64,
        }
    }

    /// A part of a room is here from now on.
    pub fn open_room(&mut self, now: Instant, room: &RoomId) {
        self.rooms.open(now, self.clock.ms(now), &mut self.sdn, room);
        self.settle(now);
    }

    /// Somebody here wants to know where a room is: [`ClusterEvent::RoomNode`].
    pub fn watch_room(&mut self, now: Instant, room: &RoomId) {
        self.rooms.watch(self.clock.ms(now), &mut self.sdn, room);
        self.settle(now);
    }

    /// No part of a room is here any more, and nobody asks for it.
    pub fn close_room(&mut self, now: Instant, room: &RoomId) {
        self.rooms.close(now, self.clock.ms(now), &mut self.sdn, room);
        self.settle(now);
    }

    /// The other nodes that have a part of a room that is open, or watched, here.
    pub fn nodes_of(&self, room: &RoomId) -> impl Iterator<Item = NodeId> {
        self.rooms.nodes_of(room)
    }

    /// What whoever opens the room is to know, also after this node is gone: at most 1,000 bytes, or it is not changed.
    pub fn carry(&mut self, now: Instant, room: &RoomId, carried: Vec<u8>) {
        self.rooms.carry(now, self.clock.ms(now), &mut self.sdn, room, carried);
        self.settle(now);
    }

    /// Sends to all nodes that have a part of a room: a bundle of audio. It arrives at all of them, at some or at none.
    pub fn publish(&mut self, now: Instant, room: &RoomId, data: &[u8]) {
        self.rooms.send(now, self.clock.ms(now), &mut self.sdn, room, data);
        self.settle(now);
    }

    /// Sends to all nodes that want a stream of pictures of this node: a packet of video with its numbers (1,360 bytes at most). It arrives at
    /// all of them, at some or at none.
    pub fn publish_picture(&mut self, now: Instant, room: &RoomId, encoding: EncodingId, data: &[u8]) {
        self.rooms.send_picture((now, self.clock.ms(now)), &mut self.sdn, room, encoding, data);
        self.settle(now);
    }

    /// Another node waits for a stream of pictures of this one on that channel, as [`Cluster::want_picture`] told it. To be said again
    /// each second or so for as long as it does.
    pub fn offer_picture(&mut self, now: Instant, room: &RoomId, encoding: EncodingId, attempt: u8) {
        self.rooms.offer_picture(now, room, encoding, attempt);
    }

    /// These streams of a node's picture are wanted here, bit by bit, and no others of it: 0 for none, 255 while it isn't known which.
    /// Returns on which channels they are waited for, which that node has to be told: another one after one brought nothing.
    pub fn want_picture(
        &mut self,
        now: Instant,
        room: &RoomId,
        (node, source): (NodeId, SourceId),
        encodings: u8,
    ) -> u8 {
        let at = (now, self.clock.ms(now));
        let attempt = self.rooms.want_picture(at, &mut self.sdn, room, (node, source), encodings);
        self.settle(now);
        attempt
    }

    /// Sends to a node, in order: at most 100 KiB. It arrives, or [`ClusterEvent::StreamBegan`] tells that it may not have.
    pub fn send(&mut self, now: Instant, to: NodeId, message: &[u8]) {
        if let Some(stream) = self.streams.get_mut(&to) {
            stream.send(now, message);
            self.busy_streams.insert(to);
            self.settle(now);
        }
    }

    /// Asks for the routing table.
    pub fn ask_routes(&mut self, now: Instant) {
        self.sdn.dump_routes(self.clock.ms(now));
        self.settle(now);
    }

    /// Tells all that this node is gone.
    pub fn leave(&mut self, now: Instant) {
        self.members.leave(now);
        self.settle(now);
        self.links.stop();
    }

    /// A datagram came.
    pub fn handle_datagram(&mut self, now: Instant, from: SocketAddr, datagram: &[u8]) {
        self.links.handle_datagram(now, &mut self.clock, from, datagram);
        self.settle(now);
    }

    /// Something is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.links.handle_timeout(now, &self.clock);
        let due = self.held.partition_point(|(at, ..)| *at <= now);
        for (_, link, datagram) in self.held.drain(..due) {
            self.links.send(link, &datagram);
        }
        self.members.handle_timeout(now);
        for node in &self.busy_streams {
            if let Some(stream) = self.streams.get_mut(node) {
                stream.handle_timeout(now);
            }
        }
        if self.tick_at <= now {
            self.tick_at = now + TICK;
            let now_ms = self.clock.ms(now);
            self.sdn.handle_timeout(now_ms);
            self.rooms.handle_timeout(now, now_ms, &mut self.sdn);
            self.ask(now);
            if self.meet_at <= now {
                self.meet_at = now + MEET_INTERVAL;
                self.meet(now);
            }
            if self.links_at <= now {
                self.want_links(now);
            }
        }
        self.settle(now);
    }

    /// When [`Cluster::handle_timeout`] is due at the latest.
    pub fn next_timeout(&self) -> Instant {
        let streams = self.busy_streams.iter().filter_map(|node| self.streams.get(node)?.next_timeout());
        let below = self.links.next_timeout().into_iter().chain(self.members.next_timeout());
        let held = self.held.front().map(|(at, ..)| *at);
        below.chain(streams).chain(held).min().map_or(self.tick_at, |at| at.min(self.tick_at))
    }

    /// What is to be done.
    pub fn poll_output(&mut self) -> Option<Output> {
        let transmit = |(to, datagram)| Output::Transmit { to, datagram };
        let event = || self.events.pop_front().map(Output::Event);
        self.links.poll_transmit().map(transmit).or_else(event)
    }

    /// Hands on what each part has for another, until none has anything.
    fn settle(&mut self, now: Instant) {
        loop {
            let mut is_quiet = true;
            while let Some(event) = self.links.poll_event() {
                is_quiet = false;
                self.link_event(now, event);
            }
            while let Some(event) = self.sdn.poll_event() {
                is_quiet = false;
                self.sdn_event(now, event);
            }
            while let Some((to, message)) = self.members.poll_transmit() {
                is_quiet = false;
                self.send_message(now, to, MEMBERS, &message);
            }
            while let Some(event) = self.members.poll_event() {
                is_quiet = false;
                self.member_event(now, event);
            }
            while let Some(event) = self.rooms.poll_event() {
                is_quiet = false;
                self.room_event(now, event);
            }
            is_quiet &= self.settle_streams(now);
            if is_quiet {
                return;
            }
        }
    }

    fn settle_streams(&mut self, now: Instant) -> bool {
        let mut segments = Vec::new();
        let mut is_quiet = true;
        let streams = &mut self.streams;
        self.busy_streams.retain(|&node| {
            let Some(stream) = streams.get_mut(&node) else {
                return false;
            };
            segments.extend(std::iter::from_fn(|| stream.poll_transmit()).map(|segment| (node, segment)));
            while let Some(event) = stream.poll_event() {
                is_quiet = false;
                self.events.push_back(match event {
                    StreamEvent::Began => ClusterEvent::StreamBegan(node),
                    StreamEvent::Message(message) => ClusterEvent::Message(node, message),
                });
            }
            stream.next_timeout().is_some()
        });
        is_quiet &= segments.is_empty();
        for (node, segment) in segments {
            self.send_message(now, node, STREAM, &segment);
        }
        is_quiet
    }

    fn link_event(&mut self, now: Instant, event: LinkEvent) {
        let now_ms = self.clock.ms(now);
        match event {
            // One of the two connects over it: both at once would be in each other's way.
            LinkEvent::Up { link, node } => {
                self.asked.remove(&node);
                self.sdn.link_up(now_ms, link, node, self.node < node);
            }
            LinkEvent::Down { link, node, boot, address, why } => {
                self.sdn.link_down(now_ms, link);
                if why == Farewell::Silent && self.remembered.len() < REMEMBERED_MAX {
                    self.remembered.insert(address, now + REMEMBER_FOR);
                }
                self.events.push_back(ClusterEvent::LinkLost(node, why));
                match why {
                    Farewell::Stopped | Farewell::Restarted => self.members.lose(now, node, boot),
                    // The link may be cut and the node alive.
                    Farewell::Silent => {
                        self.asked.insert(node, Asked { boot, next: now, until: now + ASK_FOR });
                    }
                    Farewell::IdTaken | Farewell::Unneeded | Farewell::Superseded => {}
                }
            }
            LinkEvent::Message { from, message } => self.message(now, from, &message),
            LinkEvent::Network { link, datagram } => self.sdn.handle_datagram(now_ms, link, datagram),
            LinkEvent::ClockMoved(by) => self.events.push_back(ClusterEvent::ClockMoved(by)),
            LinkEvent::Refused(at) => self.events.push_back(ClusterEvent::IdTaken(at)),
        }
    }

    fn sdn_event(&mut self, now: Instant, event: SdnEvent) {
        match event {
            SdnEvent::Datagram { link, datagram, is_media } => self.transmit(now, link, datagram, is_media),
            SdnEvent::Channel { channel, source, data } => {
                self.rooms.channel_data(now, channel, source, &data);
            }
            SdnEvent::Map { map, key, node, value } => {
                // A node speaks for itself alone.
                if key == u64::from(to_sdn(node)) {
                    let parts = (&mut self.sdn, &self.members);
                    self.rooms.map_changed(now, self.clock.ms(now), parts, (map, node), value.as_deref());
                }
            }
            SdnEvent::Message { from, data } => self.message(now, from, &data),
            SdnEvent::Neighbour(node) => {
                if let Some(boot) = self.links.to(node).map(|link| link.boot) {
                    self.members.meet(now, node, boot);
                }
            }
            SdnEvent::Routes(event) => {
                self.events.push_back(ClusterEvent::Routes(routes::read(self.node, &event)));
            }
        }
    }

    fn transmit(&mut self, now: Instant, link: LinkId, datagram: Vec<u8>, is_media: bool) {
        if is_media {
            self.media_sent += 1;
            return self.links.send(link, &datagram);
        }
        let quality = self.links.get(link).map(|link| link.quality()).unwrap_or_default();
        let lost = quality.lost_in_permille.max(quality.lost_out_permille);
        let penalty = (LOSS_PENALTY_PER_PERCENT * u32::from(lost) / 10).min(LOSS_PENALTY_MAX);
        if penalty < TICK / 10 {
            return self.links.send(link, &datagram);
        }
        let at = now + penalty;
        let place = self.held.partition_point(|(other, ..)| *other <= at);
        self.held.insert(place, (at, link, datagram));
    }

    fn message(&mut self, now: Instant, from: NodeId, message: &[u8]) {
        let Some((&kind, inside)) = message.split_first() else {
            return;
        };
        match kind {
            MEMBERS => self.members.handle_message(now, inside),
            STREAM => {
                if let Some(stream) = self.streams.get_mut(&from) {
                    stream.handle_segment(now, inside);
                    self.busy_streams.insert(from);
                }
            }
            ASK => self.send_message(now, from, HERE, &self.boot.0.to_be_bytes()),
            HERE => {
                let boot = inside.try_into().ok().map(|boot| BootId(u64::from_be_bytes(boot)));
                if self.asked.get(&from).is_some_and(|asked| Some(asked.boot) == boot) {
                    self.asked.remove(&from);
                }
            }
            STUCK => {
                if let Ok(StuckChannel { room, epoch }) = postcard::from_bytes(inside) {
                    let now_ms = self.clock.ms(now);
                    self.rooms.replace_channel(now, now_ms, &mut self.sdn, &room.as_str().into(), epoch);
                }
            }
            _ => {}
        }
    }

    fn send_message(&mut self, now: Instant, to: NodeId, kind: u8, inside: &[u8]) {
        let mut message = Vec::with_capacity(1 + inside.len());
        message.push(kind);
        message.extend_from_slice(inside);
        // The network's way to a node of another zone is by any node of that zone, which may not know it yet.
        match self.links.to(to).map(|link| link.id) {
            Some(link) => self.links.send_message(link, &message),
            None => self.sdn.send_message(self.clock.ms(now), to, message),
        }
    }

    fn member_event(&mut self, now: Instant, event: MemberEvent) {
        match event {
            MemberEvent::Up(node, boot) => {
                self.events.push_back(ClusterEvent::NodeUp(node, boot));
                if self.streams.get(&node).is_none_or(|stream| stream.theirs() != boot) {
                    let former = self.given_up.remove(&node).filter(|(former, _)| *former == boot);
                    let generation = former.map_or(0, |(_, generation)| generation + 1);
                    self.streams.insert(node, Stream::new(now, self.boot, boot, generation));
                    self.busy_streams.insert(node);
                }
                self.node_changed(now, node);
            }
            MemberEvent::Down(node, boot) => {
                self.asked.remove(&node);
                self.events.push_back(ClusterEvent::NodeDown(node, boot));
                if let Some(stream) = self.streams.remove(&node) {
                    self.given_up.insert(node, (stream.theirs(), stream.generation()));
                }
                self.node_changed(now, node);
            }
            MemberEvent::Changed { node, is_reached_otherwise } => {
                self.events.push_back(ClusterEvent::NodeChanged(node));
                if !is_reached_otherwise {
                    return;
                }
            }
        }
        self.want_links(now);
    }

    fn node_changed(&mut self, now: Instant, node: NodeId) {
        self.rooms.node_changed(now, self.clock.ms(now), &mut self.sdn, &self.members, node);
    }

    fn room_event(&mut self, now: Instant, event: RoomEvent) {
        let event = match event {
            RoomEvent::Present { room, node, is_present } => {
                ClusterEvent::RoomNode { room, node, is_present }
            }
            RoomEvent::Carried { room, node, boot, carried } => {
                ClusterEvent::Carried { room, node, boot, carried }
            }
            RoomEvent::Data { room, node, data } => ClusterEvent::Data { room, node, data },
            RoomEvent::Stuck { room, node, epoch } => {
                let stuck = StuckChannel { room: room.to_string(), epoch };
                let stuck = postcard::to_stdvec(&stuck).expect("it can be written");
                return self.send_message(now, node, STUCK, &stuck);
            }
        };
        self.events.push_back(event);
    }

    /// A neighbour that isn't a member, though the link to it is up, took this node for dead, or was taken for it; and a link
    /// may have lost its connection above.
    fn meet(&mut self, now: Instant) {
        let unknown = self.links.iter().map(|link| (link.node, link.boot));
        let unknown = unknown.filter(|(node, boot)| self.members.boot_of(*node) != Some(*boot));
        for (node, boot) in unknown.collect::<Vec<_>>() {
            self.members.meet(now, node, boot);
        }
        let own = self.node;
        self.sdn.connect_again(self.clock.ms(now), |node| own < node);
    }

    /// Asks those whose links ended whether they are there.
    fn ask(&mut self, now: Instant) {
        let over: Vec<(NodeId, BootId)> =
            self.asked.iter().filter(|(_, asked)| asked.until <= now).map(|(n, a)| (*n, a.boot)).collect();
        for (node, boot) in over {
            self.asked.remove(&node);
            self.members.lose(now, node, boot);
        }
        let due = self.asked.iter_mut().filter(|(_, asked)| asked.next <= now);
        let due: Vec<NodeId> = due
            .map(|(node, asked)| {
                asked.next = now + ASK_INTERVAL;
                *node
            })
            .collect();
        for node in due {
            self.send_message(now, node, ASK, &[]);
        }
    }

    /// To all nodes of the zone; and from the first gateways of each zone to those of every other. Seeds, and where neighbours
    /// were, are tried while nobody is known to be there.
    fn want_links(&mut self, now: Instant) {
        self.links_at = now + LINKS_INTERVAL;
        let nodes = self.members.reach();
        let mut by_zone: BTreeMap<u8, Vec<NodeId>> = BTreeMap::new();
        for gateways_first in [true, false] {
            for Reach { node, role, .. } in &nodes {
                let borders = by_zone.entry(node.zone).or_default();
                if role.is_gateway() == gateways_first && borders.len() < BORDERS {
                    borders.push(*node);
                }
            }
        }
        let is_border = |node: &NodeId| by_zone.get(&node.zone).is_some_and(|borders| borders.contains(node));
        let is_near =
            |node: &NodeId| node.zone == self.node.zone || (is_border(node) && is_border(&self.node));
        let near = nodes.iter().filter(|reach| reach.node != self.node && is_near(&reach.node));
        let near: BTreeSet<SocketAddr> = near.map(|reach| reach.address).collect();
        let known: BTreeSet<SocketAddr> = nodes.iter().map(|reach| reach.address).collect();
        self.remembered.retain(|address, until| *until > now && !known.contains(address));
        let tried =
            self.seeds.iter().chain(self.remembered.keys()).filter(|address| !known.contains(address));
        self.links.set_wanted(now, near.iter().chain(tried).copied());
    }
}
