//! `GET /v1/cluster`: the cluster as this node knows it, for people who run it.

use std::collections::BTreeMap;
use std::time::Instant;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tercet_cluster::{LinkStatus, NodeInfo, NodeRole, Route};
use tercet_core::NodeId;
use tercet_protocol::ErrorCode;

use super::demo::refuse;
use super::{Node, bearer};
use crate::access::AccessError;
use crate::cluster::Snapshot;
use crate::control::{ControlInput, RoomSummary};

/// No more are listed: a console asks every two seconds.
const ROOMS_MAX: usize = 500;

/// The cluster as one node knows it.
#[derive(Serialize)]
struct ClusterView {
    /// This node; `null` for one that is by itself.
    node: Option<String>,
    nodes: Vec<NodeView>,
    zones: Vec<ZoneView>,
    links: Vec<LinkView>,
    /// The routing table of this node.
    routes: Vec<Route>,
    /// How many rooms have a part on this node.
    room_count: usize,
    /// The largest of them.
    rooms: Vec<RoomView>,
}

#[derive(Serialize)]
struct NodeView {
    id: String,
    zone: u8,
    role: &'static str,
    /// `up`, `draining`, or `strained`; `joining` until it has said anything of itself.
    state: &'static str,
    http: Option<String>,
    sessions: u32,
    sessions_max: u32,
    rooms: u32,
    version: Option<String>,
    /// Which life of it.
    boot: String,
}

#[derive(Serialize)]
struct ZoneView {
    zone: u8,
    nodes: usize,
    sessions: u32,
}

#[derive(Serialize)]
struct LinkView {
    from: String,
    to: String,
    /// `null` before the first measurement.
    rtt_ms: Option<f64>,
    /// Of datagrams from one to the other, this part is lost.
    loss: f64,
    /// Since when, of links of this node.
    up_s: Option<u64>,
}

#[derive(Serialize)]
struct RoomView {
    room: String,
    /// On all nodes.
    participants: usize,
    /// On this one.
    sessions: usize,
    /// Tracks that are published, on all nodes.
    tracks: usize,
    /// The nodes that have a part of it, this one among them.
    nodes: Vec<String>,
    /// The channels of other nodes that this one has subscribed to.
    channels: Vec<String>,
}

pub(super) async fn describe(State(node): State<Node>, headers: HeaderMap) -> Response {
    if let Some(refusal) = refuse_stranger(&node, &headers) {
        return refusal;
    }
    let mut rooms = node.control.ask(|reply| ControlInput::Rooms { reply }).await.unwrap_or_default();
    let room_count = rooms.len();
    rooms.sort_by_key(|room| std::cmp::Reverse(room.participants));
    rooms.truncate(ROOMS_MAX);
    let snapshot = node.cluster.as_ref().map(|cluster| cluster.snapshot());
    let view = match &snapshot {
        Some(snapshot) => of_cluster(snapshot, room_count, rooms),
        None => ClusterView {
            node: None,
            nodes: Vec::new(),
            zones: Vec::new(),
            links: Vec::new(),
            routes: Vec::new(),
            room_count,
            rooms: rooms.into_iter().map(|room| of_room(room, None)).collect(),
        },
    };
    Json(view).into_response()
}

/// Only who has a token with the grant `admin` may look; with the development secret, everybody on this machine.
fn refuse_stranger(node: &Node, headers: &HeaderMap) -> Option<Response> {
    if node.config.uses_dev_secret() {
        return None;
    }
    let unauthorized = |code, message: &str| Some(refuse(StatusCode::UNAUTHORIZED, code, message));
    let Some(token) = bearer(headers) else {
        return unauthorized(
            ErrorCode::Unauthorized,
            "`Authorization: Bearer TOKEN` is needed: `tercet token --admin`",
        );
    };
    match node.access.is_admin(token) {
        Ok(true) => None,
        Ok(false) => {
            let message = "the token lacks the grant `admin`: `tercet token --admin`";
            Some(refuse(StatusCode::FORBIDDEN, ErrorCode::Forbidden, message))
        }
        Err(error @ AccessError::Expired) => unauthorized(ErrorCode::TokenExpired, &error.to_string()),
        Err(error) => unauthorized(ErrorCode::Unauthorized, &error.to_string()),
    }
}

fn of_cluster(snapshot: &Snapshot, room_count: usize, rooms: Vec<RoomSummary>) -> ClusterView {
    let mut nodes = vec![(snapshot.node, Some(&snapshot.own), snapshot.boot)];
    nodes.extend(snapshot.others.iter().map(|(node, state)| (*node, state.info.as_ref(), state.boot)));
    nodes.sort_by_key(|(node, ..)| *node);
    let nodes = nodes.into_iter().map(|(node, info, boot)| of_node(node, info, boot.to_string()));
    let nodes: Vec<NodeView> = nodes.collect();
    let mut zones: BTreeMap<u8, ZoneView> = BTreeMap::new();
    for node in &nodes {
        let zone = zones.entry(node.zone).or_insert(ZoneView { zone: node.zone, nodes: 0, sessions: 0 });
        zone.nodes += 1;
        zone.sessions += node.sessions;
    }
    let told = snapshot.others.iter().filter_map(|(node, state)| Some((*node, state.info.as_ref()?)));
    let links = snapshot.links.iter().map(|link| of_link(snapshot.node, link));
    let links = links.chain(told.flat_map(|(node, info)| links_of(node, info)));
    ClusterView {
        node: Some(snapshot.node.to_string()),
        links: links.collect(),
        zones: zones.into_values().collect(),
        routes: snapshot.routes.clone(),
        room_count,
        rooms: rooms.into_iter().map(|room| of_room(room, Some(snapshot))).collect(),
        nodes,
    }
}

fn of_node(id: NodeId, info: Option<&NodeInfo>, boot: String) -> NodeView {
    let state = match info {
        None => "joining",
        Some(info) if info.is_draining => "draining",
        Some(info) if info.is_strained => "strained",
        Some(_) => "up",
    };
    let role = match info.map(|info| info.role) {
        Some(NodeRole::Media) => "media",
        Some(NodeRole::Gateway) => "gateway",
        Some(NodeRole::Sip) => "sip",
        Some(NodeRole::All) | None => "all",
    };
    NodeView {
        id: id.to_string(),
        zone: id.zone,
        role,
        state,
        http: info.map(|info| info.http.clone()),
        sessions: info.map_or(0, |info| info.sessions),
        sessions_max: info.map_or(0, |info| info.sessions_max),
        rooms: info.map_or(0, |info| info.rooms),
        version: info.map(|info| info.version.clone()),
        boot,
    }
}

fn of_link(from: NodeId, link: &LinkStatus) -> LinkView {
    LinkView {
        from: from.to_string(),
        to: link.node.to_string(),
        rtt_ms: link.quality.rtt.map(|rtt| rtt.as_secs_f64() * 1000.0),
        loss: f64::from(link.quality.lost_out_permille) / 1000.0,
        up_s: Some(Instant::now().saturating_duration_since(link.up_since).as_secs()),
    }
}

/// The links of another node, as it told of them.
fn links_of(from: NodeId, info: &NodeInfo) -> impl Iterator<Item = LinkView> {
    info.links.iter().map(move |(to, rtt_us, lost_permille)| LinkView {
        from: from.to_string(),
        to: to.to_string(),
        rtt_ms: (*rtt_us > 0).then(|| f64::from(*rtt_us) / 1000.0),
        loss: f64::from(*lost_permille) / 1000.0,
        up_s: None,
    })
}

fn of_room(room: RoomSummary, snapshot: Option<&Snapshot>) -> RoomView {
    let RoomSummary { room, participants, sessions, tracks } = room;
    let elsewhere = snapshot.and_then(|snapshot| snapshot.rooms.get(&room)).cloned().unwrap_or_default();
    let mut nodes: Vec<NodeId> =
        snapshot.map(|snapshot| snapshot.node).into_iter().chain(elsewhere.clone()).collect();
    nodes.sort();
    RoomView {
        room: room.to_string(),
        participants,
        sessions,
        tracks,
        nodes: nodes.iter().map(ToString::to_string).collect(),
        channels: elsewhere.iter().map(ToString::to_string).collect(),
    }
}
