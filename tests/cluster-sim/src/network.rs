//! Nodes of a cluster in virtual time: real [`Cluster`]s, and a network between them that delays, loses and is cut, as a seed says.
//!
//! Whatever a node sends because of media is media: what it publishes, and what it passes on of what others published. So what crosses a
//! link is told apart though it is sealed.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use rustc_hash::FxHashMap;
use tercet_cluster::{
    BootId, Cluster, ClusterConfig, ClusterEvent, NodeId, NodeInfo, NodeRole, Output, Secret,
};
use tercet_core::RoomId;

/// As the server has it: what is longer arrives cut off, and is nothing.
const DATAGRAM_BYTES_MAX: usize = 2048;

/// What IPv4 and UDP add to a datagram.
pub const HEADER_BYTES: usize = 28;

/// What a node of a test says of itself.
pub fn info(node: NodeId) -> NodeInfo {
    NodeInfo {
        cluster: address(node),
        http: format!("http://{node}.test"),
        inside: None,
        role: NodeRole::All,
        sessions: 0,
        sessions_max: 1000,
        rooms: 0,
        is_strained: false,
        is_draining: false,
        version: "test".to_owned(),
        links: Vec::new(),
    }
}

/// Where a node is.
pub fn address(node: NodeId) -> SocketAddr {
    SocketAddr::from(([10, node.zone, 0, node.index], 50100))
}

/// A node, in short.
pub fn node(zone: u8, index: u8) -> NodeId {
    NodeId { zone, index }
}

/// What a datagram is sent for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Purpose {
    Media,
    Control,
}

/// Datagrams that were sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// How many.
    pub datagrams: u64,
    /// Their length, [`HEADER_BYTES`] each included.
    pub bytes: u64,
}

/// What was sent over a link, in one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Crossed {
    /// What is heard in rooms.
    pub media: Traffic,
    /// Everything else.
    pub control: Traffic,
}

/// A datagram under way: when it arrives, in which order it was sent, from whom to whom, what for.
type UnderWay = (Instant, u64, NodeId, NodeId, Purpose, Vec<u8>);

struct Running {
    cluster: Cluster,
    /// When it is due, or earlier: it is asked again then.
    due: Instant,
}

/// Nodes and what is between them.
pub struct Network {
    /// The time.
    pub now: Instant,
    began: Instant,
    nodes: BTreeMap<NodeId, Running>,
    /// When nodes are due; what isn't what the node has is out of date.
    due: BinaryHeap<Reverse<(Instant, NodeId)>>,
    boots: u64,
    under_way: BinaryHeap<Reverse<UnderWay>>,
    sent: u64,
    rng: SmallRng,
    delay: Duration,
    delay_between_zones: Duration,
    delays: BTreeMap<(NodeId, NodeId), Duration>,
    loss: f64,
    losses: BTreeMap<(NodeId, NodeId), f64>,
    cut: BTreeSet<(NodeId, NodeId)>,
    cut_zones: BTreeSet<(u8, u8)>,
    /// What happened, to whom and when.
    pub events: Vec<(Duration, NodeId, ClusterEvent)>,
    /// What was sent from one node to another.
    pub crossed: FxHashMap<(NodeId, NodeId), Crossed>,
    /// Datagrams that were too long to arrive.
    pub oversized: u64,
    /// The longest one.
    pub longest_bytes: usize,
    /// The loudest of the clocks is ahead of the others by so much.
    pub skew_ms: BTreeMap<NodeId, u64>,
}

impl Network {
    /// No nodes; a datagram takes 5 ms, and none is lost.
    pub fn new(seed: u64) -> Network {
        let now = Instant::now();
        Network {
            now,
            began: now,
            nodes: BTreeMap::new(),
            due: BinaryHeap::new(),
            boots: 0,
            under_way: BinaryHeap::new(),
            sent: 0,
            rng: SmallRng::seed_from_u64(seed),
            delay: Duration::from_millis(5),
            delay_between_zones: Duration::from_millis(5),
            delays: BTreeMap::new(),
            loss: 0.0,
            losses: BTreeMap::new(),
            cut: BTreeSet::new(),
            cut_zones: BTreeSet::new(),
            events: Vec::new(),
            crossed: FxHashMap::default(),
            oversized: 0,
            longest_bytes: 0,
            skew_ms: BTreeMap::new(),
        }
    }

    /// How long it has been running.
    pub fn time(&self) -> Duration {
        self.now - self.began
    }

    /// Starts a node, perhaps once more.
    pub fn start(&mut self, node: NodeId, seeds: &[NodeId]) {
        self.start_as(node, info(node), "the secret", seeds);
    }

    /// Starts a node that says this of itself, and has this secret.
    pub fn start_as(&mut self, node: NodeId, info: NodeInfo, secret: &str, seeds: &[NodeId]) {
        self.start_at(node, node, info, secret, seeds);
    }

    /// Starts a node in the place of another.
    pub fn start_elsewhere(&mut self, place: NodeId, node: NodeId, info: NodeInfo, seeds: &[NodeId]) {
        self.start_at(place, node, info, "the secret", seeds);
    }

    fn start_at(&mut self, place: NodeId, node: NodeId, info: NodeInfo, secret: &str, seeds: &[NodeId]) {
        const BEGAN_MS: u64 = 1_700_000_000_000;
        self.boots += 1;
        let skew_ms = self.skew_ms.get(&node).copied().unwrap_or(0);
        let config = ClusterConfig {
            node,
            boot: BootId::new(BEGAN_MS + self.boots, 0),
            secret: Secret::from_text(secret),
            info,
            wall_ms: BEGAN_MS + skew_ms + self.time().as_millis() as u64,
        };
        let mut cluster = Cluster::new(self.now, config);
        cluster.set_seeds(self.now, seeds.iter().map(|seed| address(*seed)));
        self.nodes.insert(place, Running { cluster, due: self.now });
        self.due.push(Reverse((self.now, place)));
        self.collect(place, Purpose::Control);
    }

    /// Ends a node without a word.
    pub fn kill(&mut self, node: NodeId) {
        self.nodes.remove(&node);
    }

    /// Within a zone, and between zones, a datagram takes so long.
    pub fn set_delays(&mut self, within_zone: Duration, between_zones: Duration) {
        (self.delay, self.delay_between_zones) = (within_zone, between_zones);
    }

    /// Between two nodes a datagram takes so long.
    pub fn set_delay(&mut self, a: NodeId, b: NodeId, delay: Duration) {
        self.delays.extend([((a, b), delay), ((b, a), delay)]);
    }

    /// Of datagrams everywhere, so many are lost.
    pub fn set_loss(&mut self, loss: f64) {
        self.loss = loss;
    }

    /// Of datagrams between two nodes, so many are lost.
    pub fn set_loss_between(&mut self, a: NodeId, b: NodeId, loss: f64) {
        self.losses.extend([((a, b), loss), ((b, a), loss)]);
    }

    /// Whether datagrams between nodes of two zones get through.
    pub fn cut_zones(&mut self, a: u8, b: u8, is_cut: bool) {
        for way in [(a, b), (b, a)] {
            if is_cut {
                self.cut_zones.insert(way);
            } else {
                self.cut_zones.remove(&way);
            }
        }
    }

    /// Whether datagrams between two nodes get through.
    pub fn cut(&mut self, a: NodeId, b: NodeId, is_cut: bool) {
        for way in [(a, b), (b, a)] {
            if is_cut {
                self.cut.insert(way);
            } else {
                self.cut.remove(&way);
            }
        }
    }

    /// Whether datagrams from one node to another get through; those the other way do as before.
    pub fn cut_way(&mut self, from: NodeId, to: NodeId, is_cut: bool) {
        if is_cut {
            self.cut.insert((from, to));
        } else {
            self.cut.remove(&(from, to));
        }
    }

    /// The clocks of nodes that start from now on are before those of all that started so far.
    pub fn set_clocks_back(&mut self) {
        self.boots = 0;
    }

    /// A node.
    ///
    /// # Panics
    /// It isn't running.
    pub fn node(&self, node: NodeId) -> &Cluster {
        &self.nodes.get(&node).expect("the node runs").cluster
    }

    /// The nodes that run.
    pub fn nodes(&self) -> impl Iterator<Item = (NodeId, &Cluster)> {
        self.nodes.iter().map(|(id, running)| (*id, &running.cluster))
    }

    /// Does something with a node.
    ///
    /// # Panics
    /// It isn't running.
    pub fn with<T>(&mut self, node: NodeId, what: impl FnOnce(Instant, &mut Cluster) -> T) -> T {
        self.with_purpose(node, Purpose::Control, what)
    }

    /// Publishes what is heard in a room on a node.
    ///
    /// # Panics
    /// It isn't running.
    pub fn publish(&mut self, node: NodeId, room: &RoomId, data: &[u8]) {
        self.with_purpose(node, Purpose::Media, |now, cluster| cluster.publish(now, room, data));
    }

    fn with_purpose<T>(
        &mut self,
        node: NodeId,
        purpose: Purpose,
        what: impl FnOnce(Instant, &mut Cluster) -> T,
    ) -> T {
        let result = what(self.now, &mut self.nodes.get_mut(&node).expect("the node runs").cluster);
        self.collect(node, purpose);
        result
    }

    /// Lets so much time pass.
    pub fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.step(end) {}
    }

    /// Lets time pass until something happened to a node, or until the end. Returns whether something did.
    pub fn step(&mut self, end: Instant) -> bool {
        loop {
            let arrival = self.under_way.peek().map(|Reverse((at, ..))| *at);
            let due = self.due.peek().map(|Reverse((at, _))| *at);
            let Some(at) = arrival.into_iter().chain(due).min().filter(|at| *at <= end) else {
                self.now = end;
                return false;
            };
            self.now = self.now.max(at);
            let happened = if arrival == Some(at) { self.arrive() } else { self.time_out() };
            if happened {
                return true;
            }
        }
    }

    /// The first of the datagrams under way arrives.
    fn arrive(&mut self) -> bool {
        let Some(Reverse((.., from, to, purpose, datagram))) = self.under_way.pop() else {
            return false;
        };
        let Some(running) = self.nodes.get_mut(&to) else {
            return false;
        };
        running.cluster.handle_datagram(self.now, address(from), &datagram);
        self.collect(to, purpose);
        true
    }

    /// The node that is due first has its turn, unless it isn't due yet.
    fn time_out(&mut self) -> bool {
        let Some(Reverse((at, node))) = self.due.pop() else {
            return false;
        };
        let Some(running) = self.nodes.get_mut(&node).filter(|running| running.due == at) else {
            return false;
        };
        let is_due = running.cluster.next_timeout() <= self.now;
        if is_due {
            running.cluster.handle_timeout(self.now);
        }
        running.due = running.cluster.next_timeout().max(self.now);
        self.due.push(Reverse((running.due, node)));
        self.collect(node, Purpose::Control);
        is_due
    }

    /// Lets time pass until something is so, at most so long; returns how long it took.
    pub fn run_until(&mut self, most: Duration, is_so: impl Fn(&Network) -> bool) -> Option<Duration> {
        let began = self.now;
        while self.now - began < most {
            if is_so(self) {
                return Some(self.now - began);
            }
            self.run(Duration::from_millis(10));
        }
        is_so(self).then_some(most)
    }

    /// Begins to count anew what is sent.
    pub fn forget(&mut self) {
        self.crossed.clear();
        (self.oversized, self.longest_bytes) = (0, 0);
    }

    /// Whether each node knows all others, and what they say of themselves.
    pub fn is_whole(&self) -> bool {
        let all = self.nodes.len() - 1;
        self.nodes
            .values()
            .all(|running| running.cluster.nodes().filter(|(_, state)| state.info.is_some()).count() == all)
    }

    fn collect(&mut self, node: NodeId, purpose: Purpose) {
        let Some(mut running) = self.nodes.remove(&node) else {
            return;
        };
        while let Some(output) = running.cluster.poll_output() {
            match output {
                Output::Event(event) => self.events.push((self.time(), node, event)),
                Output::Transmit { to, datagram } => self.send(node, to, purpose, datagram),
            }
        }
        let due = running.cluster.next_timeout().max(self.now);
        if due < running.due {
            running.due = due;
            self.due.push(Reverse((due, node)));
        }
        self.nodes.insert(node, running);
    }

    fn send(&mut self, from: NodeId, to: SocketAddr, purpose: Purpose, datagram: Vec<u8>) {
        let SocketAddr::V4(to) = to else {
            return;
        };
        let [_, zone, _, index] = to.ip().octets();
        let to = NodeId { zone, index };
        let crossed = self.crossed.entry((from, to)).or_default();
        let traffic = match purpose {
            Purpose::Media => &mut crossed.media,
            Purpose::Control => &mut crossed.control,
        };
        traffic.datagrams += 1;
        traffic.bytes += (HEADER_BYTES + datagram.len()) as u64;
        self.longest_bytes = self.longest_bytes.max(datagram.len());
        if datagram.len() > DATAGRAM_BYTES_MAX {
            self.oversized += 1;
            return;
        }
        let loss = self.losses.get(&(from, to)).copied().unwrap_or(self.loss);
        let is_cut = self.cut.contains(&(from, to)) || self.cut_zones.contains(&(from.zone, to.zone));
        if is_cut || self.rng.random_bool(loss) {
            return;
        }
        let usual = if from.zone == to.zone { self.delay } else { self.delay_between_zones };
        let delay = self.delays.get(&(from, to)).copied().unwrap_or(usual);
        self.sent += 1;
        self.under_way.push(Reverse((self.now + delay, self.sent, from, to, purpose, datagram)));
    }
}
