//! A node of a cluster gets whatever a stranger sends, and what one of its own might send if it were broken.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tercet_cluster::{BootId, Cluster, ClusterConfig, NodeId, NodeInfo, NodeRole, Secret, Unbundler};

/// Panics where it doesn't hold.
pub fn check(data: &[u8]) {
    Unbundler::default().read(data);
    let now = Instant::now();
    let address = SocketAddr::from(([10, 0, 0, 1], 50100));
    let info = NodeInfo {
        cluster: address,
        http: String::new(),
        inside: None,
        role: NodeRole::All,
        sessions: 0,
        sessions_max: 1,
        rooms: 0,
        is_strained: false,
        is_draining: false,
        version: String::new(),
        links: Vec::new(),
    };
    let config = ClusterConfig {
        node: NodeId { zone: 0, index: 1 },
        boot: BootId(1),
        secret: Secret::from_text("the secret of the fuzzer"),
        info,
        wall_ms: 1_700_000_000_000,
    };
    let mut cluster = Cluster::new(now, config);
    for (n, datagram) in data.chunks(64).enumerate() {
        let now = now + Duration::from_millis(n as u64 * 7);
        cluster.handle_datagram(now, SocketAddr::from(([10, 0, 0, n as u8], 7)), datagram);
        cluster.handle_timeout(now);
        while cluster.poll_output().is_some() {}
    }
    assert_eq!(cluster.links().count(), 0);
}
