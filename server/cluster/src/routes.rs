//! The routing table, as people read it.

use atm0s_sdn::features::router_sync;
use serde::{Deserialize, Serialize};

use tercet_core::NodeId;

use crate::ids::from_sdn;

/// A way to somewhere, of several perhaps.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Route {
    /// A node of our own zone (`1.2`), or another zone (`2`).
    pub to: String,
    /// By which neighbour.
    pub via: String,
    /// What it is chosen by: the round trip, what loss makes of it, and 10 a hop. Less is better.
    pub cost: u32,
    /// Nodes on the way, the destination included.
    pub hops: usize,
}

/// What atm0s-sdn says of its table when it is asked to serialize it.
#[derive(Deserialize)]
struct Dump {
    layers: [Layer; 4],
}

#[derive(Deserialize)]
struct Layer {
    dests: std::collections::HashMap<u8, std::collections::HashMap<u32, Way>>,
}

#[derive(Deserialize)]
struct Way {
    latency: u32,
    hops: Vec<u32>,
}

/// Its addition to a route's latency, for each hop.
const HOP_COST: u32 = 10;

/// Reads a dump; nothing where it isn't one that we know.
pub(crate) fn read(own: NodeId, event: &router_sync::Event) -> Vec<Route> {
    let router_sync::Event::DumpRouter(dump) = event;
    let dump = serde_json::to_value(dump).and_then(serde_json::from_value::<Dump>);
    let Ok(Dump { layers: [nodes, _, _, zones] }) = dump else {
        return Vec::new();
    };
    let of_zone =
        nodes.dests.into_iter().map(|(index, ways)| (NodeId { zone: own.zone, index }.to_string(), ways));
    let others = zones.dests.into_iter().map(|(zone, ways)| (zone.to_string(), ways));
    let mut routes = Vec::new();
    for (to, ways) in of_zone.chain(others) {
        for (via, way) in ways {
            let Some(via) = from_sdn(via).map(|via| via.to_string()) else {
                continue;
            };
            let hops = way.hops.len();
            routes.push(Route { to: to.clone(), via, cost: way.latency + HOP_COST * hops as u32, hops });
        }
    }
    routes.sort_by(|a, b| (&a.to, a.cost, &a.via).cmp(&(&b.to, b.cost, &b.via)));
    routes
}
