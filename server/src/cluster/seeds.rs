//! The names of seeds, as addresses: again and again, since what is behind a name changes.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::lookup_host;
use tracing::warn;

use super::{ClusterCommand, ClusterHandle};

/// A name that leads nowhere is asked for again soon, for a cluster that starts; one that leads somewhere, now and then.
const UNKNOWN_INTERVAL: Duration = Duration::from_secs(1);
const KNOWN_INTERVAL: Duration = Duration::from_secs(15);

/// Resolves the seeds until the node ends.
pub(crate) async fn keep_resolving(cluster: ClusterHandle, seeds: Vec<String>) {
    let mut known = BTreeSet::new();
    let mut was_told = BTreeSet::new();
    loop {
        let mut found: BTreeSet<SocketAddr> = BTreeSet::new();
        let mut missing = false;
        for seed in &seeds {
            match lookup_host(seed).await {
                Ok(addresses) => found.extend(addresses),
                Err(error) => {
                    missing = true;
                    if was_told.insert(seed.clone()) {
                        warn!(%seed, %error, "a seed has no address yet: it is asked for again");
                    }
                }
            }
        }
        if found != known {
            known = found;
            cluster.send(ClusterCommand::SetSeeds(known.iter().copied().collect())).await;
        }
        tokio::time::sleep(if missing { UNKNOWN_INTERVAL } else { KNOWN_INTERVAL }).await;
    }
}
