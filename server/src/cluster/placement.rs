//! Which node serves somebody: where the room is already, near, and not busy.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use anyhow::{Context, ensure};
use ipnet::IpNet;
use serde::Deserialize;
use tercet_cluster::NodeInfo;
use tercet_core::NodeId;

use super::Snapshot;

/// A room's own nodes are preferred while they have no more sessions than this many times the average of the zone, and
/// this many more.
const TOGETHER_RATIO: f64 = 1.5;
const TOGETHER_SESSIONS: f64 = 50.0;

/// Where somebody is best served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Placement {
    /// Here.
    Here,
    /// On another node, at this URL.
    There { node: NodeId, http: String, inside: Option<SocketAddr> },
    /// Nobody takes anybody.
    Nowhere,
}

/// Which addresses of clients are in which zone.
#[derive(Clone, Debug, Default)]
pub(crate) struct ZoneMap {
    /// The longest prefix first.
    ranges: Vec<(IpNet, u8)>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ZoneFile {
    zones: BTreeMap<String, Vec<String>>,
}

impl ZoneMap {
    /// Reads a file.
    pub(crate) fn from_file(path: &Path) -> anyhow::Result<ZoneMap> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read the zone map {}", path.display()))?;
        ZoneMap::parse(&text).with_context(|| format!("the zone map {}", path.display()))
    }

    fn parse(text: &str) -> anyhow::Result<ZoneMap> {
        let file: ZoneFile = toml::from_str(text)?;
        let mut ranges: Vec<(IpNet, u8)> = Vec::new();
        for (zone, nets) in file.zones {
            let number: u8 =
                zone.parse().with_context(|| format!("zone {zone:?}: write a number, 0 to 255"))?;
            for net in nets {
                let parsed: Option<IpNet> = net.parse().ok();
                let net = parsed
                    .with_context(|| {
                        format!("zone {zone:?} has {net:?}: write a prefix, such as 10.1.0.0/16")
                    })?
                    .trunc();
                ensure!(ranges.iter().all(|(other, _)| *other != net), "{net} is in two zones");
                ranges.push((net, number));
            }
        }
        ranges.sort_by_key(|(net, _)| std::cmp::Reverse(net.prefix_len()));
        Ok(ZoneMap { ranges })
    }

    /// The zone of a client.
    pub(crate) fn zone_of(&self, client: IpAddr) -> Option<u8> {
        let client = client.to_canonical();
        self.ranges.iter().find(|(net, _)| net.contains(&client)).map(|(_, zone)| *zone)
    }
}

/// Who wants to be served.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Asking<'a> {
    /// Where the client is, or in this node's zone.
    pub(crate) zone: Option<u8>,
    /// It can't go by itself: another node serves it only if what is said is passed on there.
    pub(crate) is_passed_on: bool,
    /// The nodes that were tried, and not reached.
    pub(crate) tried: &'a [NodeId],
}

/// Chooses. `own`: what this node knows of itself, newer than what the snapshot says of it. `room_nodes`: the other nodes
/// that have a part of the room. `is_here`: whether the room is open on this node.
pub(crate) fn place(
    snapshot: &Snapshot,
    own: &NodeInfo,
    room_nodes: &[NodeId],
    is_here: bool,
    asking: Asking<'_>,
) -> Placement {
    let own = (snapshot.node, own);
    let others = snapshot.others.iter().filter_map(|(node, state)| Some((*node, state.info.as_ref()?)));
    let may_take = |info: &NodeInfo| {
        let has_place = info.sessions < info.sessions_max && !info.is_strained && !info.is_draining;
        info.role.has_media() && has_place
    };
    let is_reached = |(node, info): &(NodeId, &NodeInfo)| {
        let is_own = *node == snapshot.node;
        !asking.tried.contains(node) && (is_own || !asking.is_passed_on || info.inside.is_some())
    };
    let open: Vec<(NodeId, &NodeInfo)> =
        std::iter::once(own).chain(others).filter(|(_, info)| may_take(info)).filter(is_reached).collect();
    // One that may be gone is better than none.
    let (doubted, there): (Vec<_>, Vec<_>) =
        open.into_iter().partition(|(node, _)| snapshot.doubted.contains(node));
    let open = if there.is_empty() { doubted } else { there };
    let zone = asking.zone.unwrap_or(snapshot.node.zone);
    let in_zone: Vec<(NodeId, &NodeInfo)> =
        open.iter().copied().filter(|(node, _)| node.zone == zone).collect();
    // Far is better than nowhere.
    let near = if in_zone.is_empty() { open } else { in_zone };
    let average =
        near.iter().map(|(_, info)| f64::from(info.sessions)).sum::<f64>() / near.len().max(1) as f64;
    let has_room = |node: NodeId| if node == snapshot.node { is_here } else { room_nodes.contains(&node) };
    let is_fair = |info: &NodeInfo| f64::from(info.sessions) <= average * TOGETHER_RATIO + TOGETHER_SESSIONS;
    let rank = |(node, info): &(NodeId, &NodeInfo)| {
        let is_apart = !(has_room(*node) && is_fair(info));
        // Of nodes that are as busy, this one: it saves a way.
        (is_apart, info.sessions, *node != snapshot.node, *node)
    };
    match near.iter().min_by_key(|candidate| rank(candidate)) {
        None => Placement::Nowhere,
        Some((node, _)) if *node == snapshot.node => Placement::Here,
        Some((node, info)) => Placement::There { node: *node, http: info.http.clone(), inside: info.inside },
    }
}

#[cfg(test)]
mod tests {
    use tercet_cluster::{BootId, NodeRole, NodeState};

    use super::*;

    fn node(zone: u8, index: u8) -> NodeId {
        NodeId { zone, index }
    }

    fn info(node: NodeId, sessions: u32) -> NodeInfo {
        NodeInfo {
            cluster: "127.0.0.1:1".parse().expect("an address"),
            http: format!("http://{node}"),
            inside: None,
            role: NodeRole::All,
            sessions,
            sessions_max: 1000,
            rooms: 0,
            is_strained: false,
            is_draining: false,
            version: String::new(),
            links: Vec::new(),
        }
    }

    /// Node 1.1, and others with so many sessions.
    fn snapshot(own: u32, others: &[(NodeId, u32)]) -> Snapshot {
        let state = |(node, sessions): &(NodeId, u32)| {
            (*node, NodeState { boot: BootId(1), info: Some(info(*node, *sessions)) })
        };
        Snapshot {
            node: node(1, 1),
            boot: BootId(1),
            own: info(node(1, 1), own),
            others: others.iter().map(state).collect(),
            links: Vec::new(),
            routes: Vec::new(),
            rooms: BTreeMap::new(),
            doubted: Default::default(),
        }
    }

    fn from(zone: Option<u8>) -> Asking<'static> {
        Asking { zone, ..Asking::default() }
    }

    fn there(node: NodeId) -> Placement {
        Placement::There { node, http: format!("http://{node}"), inside: None }
    }

    #[test]
    fn the_least_busy_node_of_the_zone_serves_and_a_room_stays_together() {
        let cluster = snapshot(20, &[(node(1, 2), 10), (node(1, 3), 30), (node(2, 1), 0)]);
        assert_eq!(place(&cluster, &cluster.own, &[], false, from(None)), there(node(1, 2)));
        assert_eq!(place(&cluster, &cluster.own, &[node(1, 3)], false, from(None)), there(node(1, 3)));
        assert_eq!(
            place(&cluster, &cluster.own, &[node(1, 3)], true, from(None)),
            Placement::Here,
            "of its nodes the least busy"
        );
        assert_eq!(
            place(&cluster, &cluster.own, &[node(2, 1)], false, from(None)),
            there(node(1, 2)),
            "far away it is no matter"
        );
        let full = snapshot(20, &[(node(1, 2), 10), (node(1, 3), 900)]);
        assert_eq!(
            place(&full, &full.own, &[node(1, 3)], false, from(None)),
            there(node(1, 2)),
            "far busier than the others"
        );
    }

    #[test]
    fn a_client_is_served_in_its_zone_if_there_is_anybody() {
        let mut cluster = snapshot(0, &[(node(2, 1), 500), (node(2, 2), 400)]);
        assert_eq!(place(&cluster, &cluster.own, &[], true, from(Some(2))), there(node(2, 2)));
        assert_eq!(place(&cluster, &cluster.own, &[], true, from(Some(3))), Placement::Here);
        for state in cluster.others.values_mut() {
            state.info.as_mut().expect("it has one").is_draining = true;
        }
        assert_eq!(place(&cluster, &cluster.own, &[], false, from(Some(2))), Placement::Here);
    }

    #[test]
    fn nobody_is_sent_to_a_node_that_takes_nobody() {
        let changes: [fn(&mut NodeInfo); 4] = [
            |info| info.is_draining = true,
            |info| info.is_strained = true,
            |info| info.sessions = info.sessions_max,
            |info| info.role = NodeRole::Gateway,
        ];
        for change in changes {
            let mut cluster = snapshot(50, &[(node(1, 2), 0)]);
            change(
                cluster
                    .others
                    .get_mut(&node(1, 2))
                    .and_then(|state| state.info.as_mut())
                    .expect("it has one"),
            );
            assert_eq!(place(&cluster, &cluster.own, &[node(1, 2)], false, from(None)), Placement::Here);
            change(&mut cluster.own);
            assert_eq!(place(&cluster, &cluster.own, &[], true, from(None)), Placement::Nowhere);
        }
    }

    #[test]
    fn a_node_that_may_be_gone_is_left_out_while_there_is_another() {
        let mut cluster = snapshot(20, &[(node(1, 2), 10), (node(1, 3), 30)]);
        cluster.doubted.insert(node(1, 2));
        let placed = |cluster: &Snapshot| place(cluster, &cluster.own, &[node(1, 2)], false, from(None));
        assert_eq!(placed(&cluster), Placement::Here, "though the room is there");
        cluster.own.role = NodeRole::Gateway;
        assert_eq!(placed(&cluster), there(node(1, 3)));
        cluster.doubted.insert(node(1, 3));
        assert_eq!(placed(&cluster), there(node(1, 2)), "rather than nowhere");
        let tried = Asking { tried: &[node(1, 2)], ..Asking::default() };
        assert_eq!(place(&cluster, &cluster.own, &[node(1, 2)], false, tried), there(node(1, 3)));
        let tried = Asking { tried: &[node(1, 2), node(1, 3)], ..Asking::default() };
        assert_eq!(place(&cluster, &cluster.own, &[], false, tried), Placement::Nowhere);
    }

    #[test]
    fn clients_are_told_of_nodes_that_may_be_gone_only_where_there_are_no_others() {
        let mut cluster = snapshot(0, &[(node(1, 2), 0), (node(1, 3), 0)]);
        cluster.doubted.insert(node(1, 2));
        assert_eq!(cluster.reached_by_clients(), ["http://1.3"]);
        cluster.doubted.insert(node(1, 3));
        assert_eq!(cluster.reached_by_clients(), ["http://1.2", "http://1.3"]);
    }

    #[test]
    fn who_cannot_go_by_themselves_is_served_where_this_node_reaches() {
        let mut cluster = snapshot(20, &[(node(1, 2), 0), (node(1, 3), 10)]);
        let passed_on = Asking { is_passed_on: true, ..Asking::default() };
        let room = [node(1, 2)];
        assert_eq!(place(&cluster, &cluster.own, &room, false, passed_on), Placement::Here);
        let inside = "127.0.0.1:8080".parse().ok();
        let info = cluster.others.get_mut(&node(1, 3)).and_then(|state| state.info.as_mut());
        info.expect("it has one").inside = inside;
        let expected = Placement::There { node: node(1, 3), http: "http://1.3".to_owned(), inside };
        assert_eq!(place(&cluster, &cluster.own, &room, false, passed_on), expected);
        assert_eq!(place(&cluster, &cluster.own, &room, false, from(None)), there(node(1, 2)));
    }

    #[test]
    fn the_narrowest_range_tells_the_zone() {
        let map = ZoneMap::parse("[zones]\n1 = [\"10.0.0.0/8\", \"2001:db8::/32\"]\n2 = [\"10.2.0.0/16\"]")
            .expect("a map");
        let zone = |address: &str| map.zone_of(address.parse().expect("an address"));
        assert_eq!(
            ["10.1.0.1", "10.2.0.1", "::ffff:10.2.0.1", "2001:db8::1"].map(zone),
            [Some(1), Some(2), Some(2), Some(1)]
        );
        assert_eq!(zone("192.0.2.1"), None);
        for wrong in [
            "[zones]\neurope = []",
            "[zones]\n300 = []",
            "[zone]\n1 = []",
            "[zones]\n1 = [\"10.0.0.0\"]",
            "[zones]\n1 = [\"10.0.0.0/8\"]\n2 = [\"10.1.0.0/8\"]",
        ] {
            assert!(ZoneMap::parse(wrong).is_err(), "{wrong}");
        }
    }
}
