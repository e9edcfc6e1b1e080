//! Several servers that are one cluster.

use std::time::Duration;

use anyhow::Context;

use crate::{SOON, Server};

/// The secret that the nodes of the tests share.
pub const CLUSTER_SECRET: &str = "a-secret-of-the-nodes-that-is-long-enough";

/// Nodes on loopback, of which all know the first.
pub struct Cluster {
    /// In the order of their ids, from 1.
    pub nodes: Vec<Server>,
}

impl Cluster {
    /// So many nodes of one zone, once each knows all others.
    ///
    /// # Errors
    /// A server didn't come up, or they don't find each other.
    pub async fn start(nodes: usize) -> anyhow::Result<Cluster> {
        Cluster::start_with(nodes, &[]).await
    }

    /// As [`Cluster::start`], with further arguments for each.
    ///
    /// # Errors
    /// As there.
    pub async fn start_with(nodes: usize, arguments: &[&str]) -> anyhow::Result<Cluster> {
        let mut cluster = Cluster { nodes: Vec::new() };
        for _ in 0..nodes {
            cluster.add(arguments)?;
        }
        cluster.wait_whole().await?;
        Ok(cluster)
    }

    /// Starts one more node.
    ///
    /// # Errors
    /// It didn't come up.
    pub fn add(&mut self, arguments: &[&str]) -> anyhow::Result<&Server> {
        let seed = self.nodes.first().map(seed).transpose()?;
        let node = start_node(self.nodes.len() + 1, seed.as_deref(), arguments)?;
        self.nodes.push(node);
        Ok(self.nodes.last().expect("it was pushed just now"))
    }

    /// Waits until each node knows all others.
    ///
    /// # Errors
    /// It doesn't come to that.
    pub async fn wait_whole(&self) -> anyhow::Result<()> {
        for node in &self.nodes {
            wait_for_metric(node, "tercet_cluster_nodes", "", self.nodes.len() as f64).await?;
        }
        Ok(())
    }
}

/// Where a node listens for others.
///
/// # Errors
/// It is by itself.
pub fn seed(node: &Server) -> anyhow::Result<String> {
    Ok(node.nodes.context("the server is no node of a cluster")?.to_string())
}

/// Starts a node of that number.
///
/// # Errors
/// It didn't come up.
pub fn start_node(number: usize, seed: Option<&str>, arguments: &[&str]) -> anyhow::Result<Server> {
    let number = number.to_string();
    let mut all = vec!["--cluster-secret", CLUSTER_SECRET, "--node-id", &number];
    if !arguments.contains(&"--cluster-udp") {
        // An address at which nothing else of the tests takes a port: one that is started again finds its own free.
        all.extend(["--cluster-udp", "127.0.0.2:0"]);
    }
    if let Some(seed) = seed {
        all.extend(["--seed", seed]);
    }
    all.extend_from_slice(arguments);
    Server::start_with(&all)
}

/// Waits until a metric of a server is so.
///
/// # Errors
/// It doesn't come to that.
pub async fn wait_for_metric(server: &Server, name: &str, labels: &str, wanted: f64) -> anyhow::Result<()> {
    let deadline = tokio::time::Instant::now() + SOON;
    loop {
        let value = server.metric(name, labels).await?;
        if value == wanted {
            return Ok(());
        }
        anyhow::ensure!(tokio::time::Instant::now() < deadline, "{name} is {value}, not {wanted}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
