//! What is counted of the cluster.

use metrics::{Counter, Gauge, counter, describe_counter, describe_gauge, gauge};
use tercet_cluster::{ClusterCounts, LinkStatus};
use tercet_core::NodeId;

/// The counters of the cluster's thread.
pub(super) struct ClusterMetrics {
    pub(super) datagrams_in: Counter,
    pub(super) datagrams_out: Counter,
    pub(super) bytes_in: Counter,
    pub(super) bytes_out: Counter,
    pub(super) send_refused: Counter,
    pub(super) packets_in: Counter,
    pub(super) packets_out: Counter,
    pub(super) crossing_dropped: Counter,
    pub(super) clock_moved: Counter,
    forged: Counter,
    circled: Counter,
    resubscribed: Counter,
    replaced: Counter,
    channels: Gauge,
    nodes: Gauge,
}

impl ClusterMetrics {
    pub(super) fn register() -> ClusterMetrics {
        describe();
        ClusterMetrics {
            datagrams_in: counter!("tercet_cluster_datagrams_total", "direction" => "in"),
            datagrams_out: counter!("tercet_cluster_datagrams_total", "direction" => "out"),
            bytes_in: counter!("tercet_cluster_bytes_total", "direction" => "in"),
            bytes_out: counter!("tercet_cluster_bytes_total", "direction" => "out"),
            send_refused: counter!("tercet_cluster_send_refused_total"),
            packets_in: counter!("tercet_cluster_candidates_total", "direction" => "in"),
            packets_out: counter!("tercet_cluster_candidates_total", "direction" => "out"),
            crossing_dropped: counter!("tercet_cluster_crossing_dropped_total"),
            clock_moved: counter!("tercet_cluster_clock_moved_total"),
            forged: counter!("tercet_cluster_forged_total"),
            circled: counter!("tercet_cluster_circled_total"),
            resubscribed: counter!("tercet_cluster_channels_resubscribed_total"),
            replaced: counter!("tercet_cluster_channels_replaced_total"),
            channels: gauge!("tercet_cluster_channels"),
            nodes: gauge!("tercet_cluster_nodes"),
        }
    }

    /// What the cluster itself counts.
    pub(super) fn report(&self, counts: ClusterCounts, nodes: usize, links: &[LinkStatus]) {
        self.forged.absolute(counts.forged);
        self.circled.absolute(counts.circled);
        self.resubscribed.absolute(counts.resubscribed);
        self.replaced.absolute(counts.replaced);
        self.channels.set(counts.sources as f64);
        self.nodes.set(nodes as f64);
        for LinkStatus { node, quality, .. } in links {
            let node = node.to_string();
            let rtt = quality.rtt.unwrap_or_default().as_secs_f64();
            gauge!("tercet_cluster_link_rtt_seconds", "node" => node.clone()).set(rtt);
            for (direction, lost) in [("in", quality.lost_in_permille), ("out", quality.lost_out_permille)] {
                let loss = f64::from(lost) / 1000.0;
                gauge!("tercet_cluster_link_loss", "node" => node.clone(), "direction" => direction)
                    .set(loss);
            }
            gauge!("tercet_cluster_link_up", "node" => node).set(1.0);
        }
    }

    /// A link ended.
    pub(super) fn link_lost(&self, node: NodeId) {
        let node = node.to_string();
        gauge!("tercet_cluster_link_up", "node" => node.clone()).set(0.0);
        // What was measured last says nothing of a link that isn't there.
        gauge!("tercet_cluster_link_rtt_seconds", "node" => node.clone()).set(f64::NAN);
        for direction in ["in", "out"] {
            gauge!("tercet_cluster_link_loss", "node" => node.clone(), "direction" => direction)
                .set(f64::NAN);
        }
    }
}

fn describe() {
    describe_counter!("tercet_cluster_datagrams_total", "Datagrams between this node and others.");
    describe_counter!("tercet_cluster_bytes_total", "Bytes between this node and others.");
    describe_counter!("tercet_cluster_send_refused_total", "Datagrams that the system didn't take.");
    describe_counter!(
        "tercet_cluster_candidates_total",
        "Packets of those who may be heard, to and from other nodes."
    );
    describe_counter!(
        "tercet_cluster_crossing_dropped_total",
        "What other nodes sent and a worker had no place for."
    );
    describe_counter!("tercet_cluster_clock_moved_total", "How often another node's clock was ahead.");
    describe_counter!(
        "tercet_cluster_forged_total",
        "Datagrams that weren't sealed with the cluster's secret, or came twice."
    );
    describe_counter!("tercet_cluster_circled_total", "Datagrams that went in a circle, and were dropped.");
    describe_counter!(
        "tercet_cluster_channels_resubscribed_total",
        "Channels that brought nothing, and were subscribed to anew."
    );
    describe_counter!("tercet_cluster_channels_replaced_total", "Channels that were given up for another.");
    describe_gauge!("tercet_cluster_channels", "Channels of other nodes' rooms that are subscribed to.");
    describe_gauge!("tercet_cluster_nodes", "Nodes that this one knows, itself included.");
    describe_gauge!("tercet_cluster_link_up", "Whether there is a link to the node.");
    describe_gauge!("tercet_cluster_link_rtt_seconds", "Round trip of the link to the node.");
    describe_gauge!("tercet_cluster_link_loss", "Of the link's datagrams, the part that is lost.");
}
