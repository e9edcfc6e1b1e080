//! What was sent over links in, what a node and a link carry out.

use std::collections::BTreeMap;
use std::time::Duration;

use tercet_cluster::NodeId;

use crate::network::{Network, Traffic};

/// Of several figures, the one in the middle and the greatest.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Spread {
    /// The one in the middle.
    pub median: f64,
    /// The greatest.
    pub max: f64,
}

impl Spread {
    /// Of these; zero if there are none.
    pub fn of(figures: impl IntoIterator<Item = f64>) -> Spread {
        let mut figures: Vec<f64> = figures.into_iter().collect();
        figures.sort_by(f64::total_cmp);
        let at = |n: usize| figures.get(n).copied().unwrap_or_default();
        Spread { median: at(figures.len() / 2), max: at(figures.len().saturating_sub(1)) }
    }
}

/// What is sent each second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rate {
    /// Datagrams.
    pub datagrams: Spread,
    /// Kilobytes, headers included.
    pub kilobytes: Spread,
}

/// What nodes and links carry.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Load {
    /// Media that a node sends.
    pub media: Rate,
    /// What else it sends.
    pub control: Rate,
    /// Both, over a link in one direction.
    pub link: Rate,
    /// How many links were used, each direction by itself.
    pub links: usize,
    /// The longest datagram.
    pub longest_bytes: usize,
    /// Datagrams that were too long to arrive.
    pub oversized: u64,
}

impl Load {
    /// What was sent in so long.
    pub fn of(network: &Network, time: Duration) -> Load {
        let by_node = |of: fn(&crate::network::Crossed) -> Traffic| {
            let mut sent: BTreeMap<NodeId, Traffic> =
                network.nodes().map(|(node, _)| (node, Traffic::default())).collect();
            for ((from, _), crossed) in &network.crossed {
                let sent = sent.entry(*from).or_default();
                *sent = sent.with(of(crossed));
            }
            rate(sent.values().copied(), time)
        };
        Load {
            media: by_node(|crossed| crossed.media),
            control: by_node(|crossed| crossed.control),
            link: rate(network.crossed.values().map(|crossed| crossed.media.with(crossed.control)), time),
            links: network.crossed.len(),
            longest_bytes: network.longest_bytes,
            oversized: network.oversized,
        }
    }
}

fn rate(all: impl Iterator<Item = Traffic> + Clone, time: Duration) -> Rate {
    let a_second = |count: u64| count as f64 / time.as_secs_f64();
    Rate {
        datagrams: Spread::of(all.clone().map(|traffic| a_second(traffic.datagrams))),
        kilobytes: Spread::of(all.map(|traffic| a_second(traffic.bytes) / 1000.0)),
    }
}

impl Traffic {
    fn with(self, other: Traffic) -> Traffic {
        Traffic { datagrams: self.datagrams + other.datagrams, bytes: self.bytes + other.bytes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_of_some_and_the_greatest() {
        assert_eq!(Spread::of([3.0, 9.0, 1.0]), Spread { median: 3.0, max: 9.0 });
        assert_eq!(Spread::of([]), Spread::default());
    }
}
