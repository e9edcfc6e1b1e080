//! The cluster, as the rest of the node sees it: a handle to its thread, and what is said over it.
//!
//! In: commands of the control plane, what workers pass on of rooms that span nodes. Out: [`ClusterEvent`]s for the control plane, and for
//! workers what is heard elsewhere. All that decides is in the crate `tercet-cluster`.

mod message;
mod metrics;
mod placement;
mod seeds;
mod thread;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use selector::SourceId;
use tercet_cluster::{BootId, LinkStatus, NodeInfo, NodeRole, NodeState, Route};
use tercet_core::{NodeId, RoomId};
use tokio::sync::{mpsc, oneshot};

use crate::config::{ClusterRole, Config};
use crate::media::{CrossingSender, Doorbell, WorkerId};

pub(crate) use message::{CarriedParticipant, RemoteModeration, RemoteParticipant, RoomMessage};
pub(crate) use placement::{Asking, Placement, ZoneMap, place};
pub(crate) use seeds::{keep_resolving, warn_if_alone};
pub(crate) use thread::bind;

/// What the control plane tells the cluster.
#[derive(Debug)]
pub(crate) enum ClusterCommand {
    /// The node has a part of a room from now on.
    OpenRoom(RoomId),
    /// It has none any more.
    CloseRoom(RoomId),
    /// Which workers hear what is heard of a room elsewhere.
    SetRoomWorkers { room: RoomId, workers: Vec<WorkerId> },
    /// Say something of a room to a node.
    Tell { to: NodeId, room: RoomId, message: RoomMessage },
    /// What whoever opens a room is to know, also when this node is gone.
    Carry { room: RoomId, participants: Vec<CarriedParticipant> },
    /// How much there is to do here.
    SetLoad(Load),
    /// Where other nodes are, as their names say now.
    SetSeeds(Vec<SocketAddr>),
    /// Which nodes have a part of a room, for one who wants to enter it.
    Locate { room: RoomId, reply: oneshot::Sender<Located> },
    /// A node could not be reached by what began at `since`. The reply: whether it may be gone.
    Doubt { node: NodeId, since: Instant, reply: oneshot::Sender<bool> },
    /// Tell all that this node is gone, and end.
    Leave { left: oneshot::Sender<()> },
}

/// What the cluster tells the control plane.
#[derive(Debug)]
pub(crate) enum ClusterEvent {
    /// The cluster's clock went forward by so much.
    ClockMoved(Duration),
    /// Where clients reach other nodes that take people: the nearest few.
    Others(Vec<String>),
    /// A node is gone, or can't be reached.
    NodeDown(NodeId),
    /// A node has a part of a room that is open here, or no longer.
    RoomNode { room: RoomId, node: NodeId, is_present: bool },
    /// What was told a node before may be lost.
    StreamBegan(NodeId),
    /// A node says something of a room.
    Told { from: NodeId, room: RoomId, message: RoomMessage },
    /// What a node that may be gone wanted known of a room that was opened here.
    Carried { room: RoomId, node: NodeId, is_alive: bool, participants: Vec<CarriedParticipant> },
}

/// Where a room is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Located {
    pub(crate) is_here: bool,
    pub(crate) elsewhere: Vec<NodeId>,
}

/// How much there is to do on a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Load {
    pub(crate) sessions: u32,
    pub(crate) rooms: u32,
    pub(crate) is_strained: bool,
    pub(crate) is_draining: bool,
}

/// The cluster as this node knows it.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    pub(crate) node: NodeId,
    pub(crate) boot: BootId,
    pub(crate) own: NodeInfo,
    pub(crate) others: BTreeMap<NodeId, NodeState>,
    pub(crate) links: Vec<LinkStatus>,
    pub(crate) routes: Vec<Route>,
    /// The nodes with a part of each room that is open here, this one aside.
    pub(crate) rooms: BTreeMap<RoomId, Vec<NodeId>>,
    /// The nodes that may be gone, though the cluster doesn't know yet.
    pub(crate) doubted: BTreeSet<NodeId>,
}

impl Snapshot {
    /// Where clients reach a few other nodes that take people, those of the own zone first.
    pub(crate) fn reached_by_clients(&self) -> Vec<String> {
        const OTHERS_MAX: usize = 4;
        let infos = self.others.iter().filter_map(|(node, state)| Some((node, state.info.as_ref()?)));
        let taking = infos.filter(|(_, info)| !info.is_draining);
        let (doubted, there): (Vec<_>, Vec<_>) = taking.partition(|(node, _)| self.doubted.contains(node));
        // One that may be gone is better than none.
        let mut taking: Vec<(&NodeId, &NodeInfo)> = if there.is_empty() { doubted } else { there };
        taking.sort_by_key(|(node, _)| (node.zone != self.node.zone, **node));
        taking.into_iter().take(OTHERS_MAX).map(|(_, info)| info.http.clone()).collect()
    }
}

/// A node that finds none of the others serves people all the same after so long: they may be gone.
const ALONE_FOR: Duration = Duration::from_secs(30);

/// How everybody else reaches the cluster's thread.
#[derive(Clone)]
pub(crate) struct ClusterHandle {
    pub(crate) node: NodeId,
    started: Instant,
    has_seeds: bool,
    commands: mpsc::Sender<ClusterCommand>,
    doorbell: Arc<Doorbell>,
    snapshot: Arc<RwLock<Arc<Snapshot>>>,
}

impl ClusterHandle {
    /// Passes a command on; waits while there are too many.
    pub(crate) async fn send(&self, command: ClusterCommand) {
        // It fails only after the thread has ended: there is nobody left to tell.
        let _ = self.commands.send(command).await;
        self.doorbell.ring();
    }

    /// Passes a command on that has a reply; `None` when the thread has ended.
    pub(crate) async fn ask<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<T>) -> ClusterCommand,
    ) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        self.send(command(reply)).await;
        answer.await.ok()
    }

    /// Tells of a node that could not be reached by what began at `since`. Returns whether it may be gone: nothing was heard
    /// of it either.
    pub(crate) async fn doubt(&self, node: NodeId, since: Instant) -> bool {
        self.ask(|reply| ClusterCommand::Doubt { node, since, reply }).await.unwrap_or(true)
    }

    /// Why nobody should be sent to this node yet.
    pub(crate) fn not_ready(&self) -> Option<&'static str> {
        let snapshot = self.snapshot();
        let mut infos = snapshot.others.values().filter_map(|state| state.info.as_ref());
        if !snapshot.own.role.has_media() && !infos.any(|info| info.role.has_media()) {
            return Some("a gateway without a node to send anybody to");
        }
        let is_alone = self.has_seeds && snapshot.others.is_empty();
        let is_new = self.started.elapsed() < ALONE_FOR;
        (is_alone && is_new).then_some("looking for the other nodes")
    }

    /// The cluster as it was known within the last second.
    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A socket for other nodes and a place for packets of rooms that span them, before there is a thread.
pub(crate) struct Bound {
    pub(crate) address: SocketAddr,
    /// What workers pass on.
    pub(crate) inbox: CrossingSender,
    parts: thread::Parts,
}

/// The id of this node.
pub(crate) fn own_id(config: &Config) -> NodeId {
    NodeId { zone: config.cluster.zone, index: config.cluster.node_id }
}

/// What the others learn of this node before it has anything to do.
fn first_info(config: &Config, bound: SocketAddr, http: SocketAddr) -> NodeInfo {
    let cluster = config.cluster.public.unwrap_or(bound);
    let url = config.cluster.http_public.clone();
    NodeInfo {
        cluster,
        http: url.unwrap_or_else(|| format!("http://{http}")),
        // Between nodes HTTP is plain.
        inside: inside(cluster, http).filter(|_| !config.tls.is_on()),
        role: match config.cluster.role {
            ClusterRole::All => NodeRole::All,
            ClusterRole::Media => NodeRole::Media,
            ClusterRole::Gateway => NodeRole::Gateway,
            ClusterRole::Sip => NodeRole::Sip,
        },
        sessions: 0,
        sessions_max: if config.cluster.role.has_sessions() { config.limits.sessions_max } else { 0 },
        rooms: 0,
        is_strained: false,
        is_draining: false,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        links: Vec::new(),
    }
}

/// Where other nodes reach the HTTP of this one: where it listens, or, if that is everywhere, where they reach this node.
fn inside(cluster: SocketAddr, http: SocketAddr) -> Option<SocketAddr> {
    let ip = if http.ip().is_unspecified() { cluster.ip() } else { http.ip() };
    // What listens for this machine alone is reached by nodes of this machine alone.
    let is_reached = !ip.is_unspecified() && (!ip.is_loopback() || cluster.ip().is_loopback());
    is_reached.then(|| SocketAddr::new(ip, http.port()))
}

/// Sources, as they cross: as many as a message holds, which is more than listeners choose.
pub(crate) fn wire_sources(sources: impl IntoIterator<Item = SourceId>) -> Vec<u32> {
    const SOURCES_MAX: usize = 10_000;
    sources.into_iter().map(|source| source.0).take(SOURCES_MAX).collect()
}
