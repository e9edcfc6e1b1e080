//! The names of seeds, as addresses: again and again, since what is behind a name changes.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::lookup_host;
use tracing::{info, warn};

use super::{ClusterCommand, ClusterHandle};

/// A name that leads nowhere is asked for again soon, for a cluster that starts; one that leads somewhere, now and then.
const UNKNOWN_INTERVAL: Duration = Duration::from_secs(1);
const KNOWN_INTERVAL: Duration = Duration::from_secs(15);

/// A seed that is there answers much sooner.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Says it if no seed answers, and when one does after all.
pub(crate) async fn warn_if_alone(cluster: ClusterHandle, seeds: Vec<String>) {
    tokio::time::sleep(ANSWER_WITHIN).await;
    if !cluster.snapshot().others.is_empty() || are_all_of(cluster.snapshot().own.cluster, &seeds).await {
        return;
    }
    warn!(
        ?seeds,
        "no seed has answered in {} s: is the secret the same, the address right, is UDP let through?",
        ANSWER_WITHIN.as_secs()
    );
    while cluster.snapshot().others.is_empty() {
        tokio::time::sleep(UNKNOWN_INTERVAL).await;
    }
    info!("a seed has answered");
}

/// Whether the seeds are a node's own address alone, as those of a cluster that has yet to grow may be.
async fn are_all_of(own: SocketAddr, seeds: &[String]) -> bool {
    for seed in seeds {
        let addresses = lookup_host(seed).await.ok();
        if !addresses.is_some_and(|mut addresses| addresses.all(|address| address == own)) {
            return false;
        }
    }
    true
}

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
