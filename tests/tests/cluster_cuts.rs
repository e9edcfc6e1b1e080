//! Cuts of any length, one way and both, and other beginnings that are out of turn: afterwards two nodes hear each other and lose no
//! message, in virtual time.

use std::time::Duration;

use tercet_cluster::{ClusterEvent, NodeId};
use tercet_core::RoomId;
use tercet_tests::network::{Network, node};

const SECOND: Duration = Duration::from_secs(1);

fn hall() -> RoomId {
    RoomId::from("hall")
}

fn open(network: &mut Network, nodes: impl IntoIterator<Item = NodeId>) {
    for node in nodes {
        network.with(node, |now, cluster| cluster.open_room(now, &hall()));
    }
}

/// Two nodes with a room on both, which have sent each other something.
fn two(seed: u64) -> Network {
    let mut network = Network::new(seed);
    for index in 1..=2 {
        network.start(node(1, index), &[node(1, 1)]);
    }
    network.run_until(10 * SECOND, Network::is_whole).expect("they find each other");
    open(&mut network, [node(1, 1), node(1, 2)]);
    network.run(5 * SECOND);
    for n in 0..10 {
        for (from, to) in [(1, 2), (2, 1)] {
            network.with(node(1, from), |now, cluster| cluster.send(now, node(1, to), &[n]));
        }
    }
    network.run(2 * SECOND);
    network
}

/// Between which nodes a packet, or a message, is lost.
fn losses(network: &mut Network, nodes: &[NodeId]) -> Vec<String> {
    let mut lost = Vec::new();
    for from in nodes {
        network.events.clear();
        network.with(*from, |now, cluster| cluster.publish(now, &hall(), b"hear me"));
        for to in nodes.iter().filter(|to| *to != from) {
            network.with(*from, |now, cluster| cluster.send(now, *to, b"anew"));
        }
        network.run(3 * SECOND);
        for to in nodes.iter().filter(|to| *to != from) {
            let events = || network.events.iter().filter(|(_, who, _)| who == to).map(|(.., event)| event);
            if !events().any(|event| *event == ClusterEvent::Message(*from, b"anew".to_vec())) {
                lost.push(format!("a message from {from} to {to}"));
            }
            if events().filter(|event| matches!(event, ClusterEvent::Data { .. })).count() != 1 {
                lost.push(format!("a packet from {from} to {to}"));
            }
        }
    }
    lost
}

#[test]
fn two_nodes_find_each_other_after_a_cut_of_any_length() {
    for ms in (1700..3300).step_by(100).chain([5000, 20_000, 60_000]) {
        let mut network = two(ms);
        network.run(Duration::from_millis(ms % 700));
        network.cut(node(1, 1), node(1, 2), true);
        network.run(Duration::from_millis(ms));
        network.cut(node(1, 1), node(1, 2), false);
        network.run(20 * SECOND);
        assert_eq!(losses(&mut network, &[node(1, 1), node(1, 2)]), [""; 0], "after {ms} ms");
    }
}

#[test]
fn a_cut_of_one_way_loses_nothing_once_it_is_over() {
    for ms in [1900, 2100, 2300, 2600, 2900, 3200, 3600, 4200, 6000] {
        for (from, to) in [(1, 2), (2, 1)] {
            let mut network = two(ms);
            network.cut_way(node(1, from), node(1, to), true);
            network.run(Duration::from_millis(ms));
            network.cut_way(node(1, from), node(1, to), false);
            network.run(20 * SECOND);
            let lost = losses(&mut network, &[node(1, 1), node(1, 2)]);
            assert_eq!(lost, [""; 0], "{from} to {to} was cut for {ms} ms");
        }
    }
}

#[test]
fn whoever_opens_a_room_that_was_watched_is_told_where_it_is_and_what_was_carried() {
    let mut network = Network::new(1);
    for index in 1..=2 {
        network.start(node(1, index), &[node(1, 1)]);
    }
    network.run_until(10 * SECOND, Network::is_whole).expect("they find each other");
    open(&mut network, [node(1, 1)]);
    network.with(node(1, 1), |now, cluster| cluster.carry(now, &hall(), b"ada moderates".to_vec()));
    network.run(2 * SECOND);
    network.with(node(1, 2), |now, cluster| cluster.watch_room(now, &hall()));
    network.run(SECOND);
    network.events.clear();
    open(&mut network, [node(1, 2)]);
    network.run(SECOND);
    let told = |is_it: fn(&ClusterEvent) -> bool| {
        network.events.iter().any(|(_, who, event)| *who == node(1, 2) && is_it(event))
    };
    assert!(told(|event| matches!(event, ClusterEvent::RoomNode { is_present: true, .. })));
    assert!(told(|event| matches!(event, ClusterEvent::Carried { .. })));
}

#[test]
fn a_room_that_is_closed_and_opened_at_once_is_heard() {
    for (seed, apart_ms) in [0, 0, 0, 1, 5, 20, 60, 200, 490, 510, 1000].into_iter().enumerate() {
        let mut network = two(100 + seed as u64);
        network.run(Duration::from_millis(37 * seed as u64));
        network.with(node(1, 2), |now, cluster| cluster.close_room(now, &hall()));
        network.run(Duration::from_millis(apart_ms));
        open(&mut network, [node(1, 2)]);
        network.run(8 * SECOND);
        let lost = losses(&mut network, &[node(1, 1), node(1, 2)]);
        assert_eq!(lost, [""; 0], "{apart_ms} ms apart");
    }
}

#[test]
fn a_node_whose_clock_is_an_hour_ahead_parts_nobody_when_it_comes_or_goes() {
    let mut network = two(9);
    network.skew_ms.insert(node(1, 3), 3_600_000);
    network.start(node(1, 3), &[node(1, 1)]);
    network.run(40 * SECOND);
    assert_eq!(losses(&mut network, &[node(1, 1), node(1, 2)]), [""; 0], "while it is there");
    network.kill(node(1, 3));
    network.run(20 * SECOND);
    assert_eq!(losses(&mut network, &[node(1, 1), node(1, 2)]), [""; 0], "when it is gone");
}

#[test]
fn a_node_whose_clock_was_set_back_is_let_in_again() {
    let mut network = two(10);
    network.start(node(1, 3), &[node(1, 1)]);
    network.run(5 * SECOND);
    open(&mut network, [node(1, 3)]);
    network.run(3 * SECOND);
    network.kill(node(1, 2));
    network.run(5 * SECOND);
    network.set_clocks_back();
    network.start(node(1, 2), &[node(1, 1)]);
    open(&mut network, [node(1, 2)]);
    network.run_until(60 * SECOND, Network::is_whole).expect("it is let in");
    network.run(10 * SECOND);
    let all = [node(1, 1), node(1, 2), node(1, 3)];
    assert_eq!(losses(&mut network, &all), [""; 0]);
}

#[test]
fn a_room_that_opens_while_much_is_lost_is_heard_soon() {
    let mut longest = Duration::ZERO;
    for seed in 0..60 {
        let mut network = Network::new(seed);
        network.set_loss(0.1);
        for index in 1..=2 {
            network.start(node(1, index), &[node(1, 1)]);
        }
        network.run_until(20 * SECOND, Network::is_whole).expect("they find each other");
        open(&mut network, [node(1, 1), node(1, 2)]);
        let opened = network.time();
        let heard = |network: &Network, at: u8| {
            let data = |event: &ClusterEvent| matches!(event, ClusterEvent::Data { .. });
            network.events.iter().any(|(_, who, event)| *who == node(1, at) && data(event))
        };
        while !(heard(&network, 1) && heard(&network, 2)) {
            for index in 1..=2 {
                network.with(node(1, index), |now, cluster| cluster.publish(now, &hall(), b"a packet"));
            }
            network.run(Duration::from_millis(20));
            let took = network.time() - opened;
            assert!(took < 20 * SECOND, "seed {seed}: nothing is heard");
            longest = longest.max(took);
        }
    }
    assert!(longest < 6 * SECOND, "{longest:?}");
}
