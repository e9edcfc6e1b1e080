//! Nodes of a cluster in virtual time: real [`Cluster`]s, and a network between them that delays, loses and is cut, as a seed says.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use tercet_cluster::{
    BootId, Cluster, ClusterConfig, ClusterEvent, NodeId, NodeInfo, NodeRole, Output, Secret,
};

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

/// A datagram under way.
type UnderWay = (Instant, u64, NodeId, NodeId, Vec<u8>);

/// Nodes and what is between them.
pub struct Network {
    /// The time.
    pub now: Instant,
    began: Instant,
    nodes: BTreeMap<NodeId, Cluster>,
    boots: u64,
    under_way: BinaryHeap<Reverse<UnderWay>>,
    sent: u64,
    rng: SmallRng,
    delay: Duration,
    delays: BTreeMap<(NodeId, NodeId), Duration>,
    loss: f64,
    losses: BTreeMap<(NodeId, NodeId), f64>,
    cut: BTreeSet<(NodeId, NodeId)>,
    /// What happened, to whom and when.
    pub events: Vec<(Duration, NodeId, ClusterEvent)>,
    /// How many datagrams of each length were sent from one node to another.
    pub crossed: BTreeMap<(NodeId, NodeId), BTreeMap<usize, u64>>,
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
            boots: 0,
            under_way: BinaryHeap::new(),
            sent: 0,
            rng: SmallRng::seed_from_u64(seed),
            delay: Duration::from_millis(5),
            delays: BTreeMap::new(),
            loss: 0.0,
            losses: BTreeMap::new(),
            cut: BTreeSet::new(),
            events: Vec::new(),
            crossed: BTreeMap::new(),
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
        self.nodes.insert(place, cluster);
        self.collect(place);
    }

    /// Ends a node without a word.
    pub fn kill(&mut self, node: NodeId) {
        self.nodes.remove(&node);
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
        let zone = |zone: u8| (1..=u8::MAX).map(move |index| NodeId { zone, index });
        for (x, y) in zone(a).flat_map(|x| zone(b).map(move |y| (x, y))) {
            self.cut(x, y, is_cut);
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

    /// A node.
    ///
    /// # Panics
    /// It isn't running.
    pub fn node(&self, node: NodeId) -> &Cluster {
        self.nodes.get(&node).expect("the node runs")
    }

    /// The nodes that run.
    pub fn nodes(&self) -> impl Iterator<Item = (NodeId, &Cluster)> {
        self.nodes.iter().map(|(id, cluster)| (*id, cluster))
    }

    /// Does something with a node.
    ///
    /// # Panics
    /// It isn't running.
    pub fn with<T>(&mut self, node: NodeId, what: impl FnOnce(Instant, &mut Cluster) -> T) -> T {
        let result = what(self.now, self.nodes.get_mut(&node).expect("the node runs"));
        self.collect(node);
        result
    }

    /// Lets so much time pass.
    pub fn run(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let datagram = self.under_way.peek().map(|Reverse((at, ..))| *at);
            let due =
                self.nodes.iter().map(|(id, cluster)| (cluster.next_timeout().max(self.now), *id)).min();
            let Some(at) = datagram.into_iter().chain(due.map(|(at, _)| at)).min().filter(|at| *at <= end)
            else {
                break;
            };
            self.now = at;
            if datagram == Some(at)
                && let Some(Reverse((.., from, to, datagram))) = self.under_way.pop()
            {
                if let Some(cluster) = self.nodes.get_mut(&to) {
                    cluster.handle_datagram(self.now, address(from), &datagram);
                    self.collect(to);
                }
            } else if let Some((_, id)) = due {
                self.with(id, |now, cluster| cluster.handle_timeout(now));
            }
        }
        self.now = end;
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

    /// Whether each node knows all others, and what they say of themselves.
    pub fn is_whole(&self) -> bool {
        let all = self.nodes.len() - 1;
        self.nodes
            .values()
            .all(|cluster| cluster.nodes().filter(|(_, state)| state.info.is_some()).count() == all)
    }

    fn collect(&mut self, node: NodeId) {
        while let Some(output) = self.nodes.get_mut(&node).and_then(Cluster::poll_output) {
            match output {
                Output::Event(event) => self.events.push((self.time(), node, event)),
                Output::Transmit { to, datagram } => self.send(node, to, datagram),
            }
        }
    }

    fn send(&mut self, from: NodeId, to: SocketAddr, datagram: Vec<u8>) {
        let SocketAddr::V4(to) = to else {
            return;
        };
        let [_, zone, _, index] = to.ip().octets();
        let to = NodeId { zone, index };
        *self.crossed.entry((from, to)).or_default().entry(datagram.len()).or_default() += 1;
        let loss = self.losses.get(&(from, to)).copied().unwrap_or(self.loss);
        if self.cut.contains(&(from, to)) || self.rng.random_bool(loss) {
            return;
        }
        let delay = self.delays.get(&(from, to)).copied().unwrap_or(self.delay);
        self.sent += 1;
        self.under_way.push(Reverse((self.now + delay, self.sent, from, to, datagram)));
    }
}
