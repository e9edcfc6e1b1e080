//! Nodes that find each other, lose each other and find each other again, in virtual time.

use std::time::Duration;

use selector::SourceId;
use tercet_cluster::{ClusterEvent, NodeId};
use tercet_core::{EncodingId, RoomId};
use tercet_tests::network::{Network, address, info, node};

const SECOND: Duration = Duration::from_secs(1);

/// Three nodes of one zone, of which all know the first.
fn three(seed: u64) -> Network {
    let mut network = Network::new(seed);
    for index in 1..=3 {
        network.start(node(1, index), &[node(1, 1)]);
    }
    network.run_until(10 * SECOND, Network::is_whole).expect("they find each other");
    network
}

fn down(network: &Network, at: NodeId, of: NodeId) -> Option<Duration> {
    let is_it = |event: &ClusterEvent| matches!(event, ClusterEvent::NodeDown(gone, _) if *gone == of);
    network.events.iter().rev().find(|(_, who, event)| *who == at && is_it(event)).map(|(when, ..)| *when)
}

fn data(network: &Network, at: NodeId) -> Vec<(Duration, NodeId, Vec<u8>)> {
    let events = network.events.iter().filter(|(_, who, _)| *who == at);
    let data = events.filter_map(|(when, _, event)| match event {
        ClusterEvent::Data { node, data, .. } => Some((*when, *node, data.clone())),
        _ => None,
    });
    data.collect()
}

fn open(network: &mut Network, room: &RoomId, nodes: impl IntoIterator<Item = NodeId>) {
    for node in nodes {
        network.with(node, |now, cluster| cluster.open_room(now, room));
    }
}

#[test]
fn nodes_find_each_other_by_one_seed() {
    let mut network = Network::new(1);
    for index in 1..=8 {
        network.start(node(1, index), &[node(1, 1)]);
    }
    let took = network.run_until(10 * SECOND, Network::is_whole).expect("they find each other");
    assert!(took < 3 * SECOND, "{took:?}");
    network.run(3 * SECOND);
    assert!(network.nodes().all(|(_, cluster)| cluster.links().count() == 7), "all are neighbours");
}

#[test]
fn a_message_and_a_packet_reach_the_nodes_of_a_room() {
    let mut network = three(2);
    let room = RoomId::from("hall");
    open(&mut network, &room, [node(1, 1), node(1, 2)]);
    let spans = |network: &Network| network.node(node(1, 1)).nodes_of(&room).count() == 1;
    let took = network.run_until(5 * SECOND, spans).expect("each hears of the other");
    assert!(took < SECOND, "{took:?}");
    network.run(SECOND);
    let began = network.time();
    network.with(node(1, 1), |now, cluster| cluster.publish(now, &room, b"a packet"));
    network.with(node(1, 1), |now, cluster| cluster.send(now, node(1, 2), b"a message"));
    network.run(SECOND);
    let came = data(&network, node(1, 2));
    assert_eq!(came.len(), 1);
    assert_eq!((came[0].1, &came[0].2[..]), (node(1, 1), &b"a packet"[..]));
    assert!(came[0].0 - began < Duration::from_millis(7), "{:?}", came[0].0 - began);
    let told = ClusterEvent::Message(node(1, 1), b"a message".to_vec());
    assert!(network.events.iter().any(|(_, who, event)| *who == node(1, 2) && *event == told));
    assert!(data(&network, node(1, 3)).is_empty());
}

#[test]
fn a_dead_node_is_known_to_be_within_three_seconds_and_may_come_back_at_once() {
    let mut network = three(3);
    network.run(5 * SECOND);
    let at = network.time();
    network.kill(node(1, 2));
    network.run(4 * SECOND);
    for index in [1, 3] {
        let noticed = down(&network, node(1, index), node(1, 2)).expect("it is noticed") - at;
        assert!(noticed < 3 * SECOND + SECOND / 4, "{noticed:?}");
    }
    // The same id, at the same address.
    network.start(node(1, 2), &[node(1, 1)]);
    let took = network.run_until(10 * SECOND, Network::is_whole).expect("it is back");
    assert!(took < 2 * SECOND, "{took:?}");
    network.kill(node(1, 3));
    network.start(node(1, 3), &[node(1, 1)]);
    let rejoined = |network: &Network| network.is_whole() && network.node(node(1, 3)).links().count() == 2;
    let took = network.run_until(10 * SECOND, rejoined).expect("nobody noticed that it was gone");
    assert!(took < 3 * SECOND, "{took:?}");
}

#[test]
fn a_room_is_heard_again_after_a_node_of_it_was_restarted() {
    let mut network = three(4);
    let room = RoomId::from("hall");
    open(&mut network, &room, (1..=3).map(|index| node(1, index)));
    network.run(3 * SECOND);
    network.kill(node(1, 2));
    network.start(node(1, 2), &[node(1, 1)]);
    open(&mut network, &room, [node(1, 2)]);
    network.run(6 * SECOND);
    for from in 1..=3 {
        network.events.clear();
        network.with(node(1, from), |now, cluster| cluster.publish(now, &room, b"hear me"));
        network.run(SECOND / 10);
        for to in (1..=3).filter(|to| *to != from) {
            assert_eq!(data(&network, node(1, to)).len(), 1, "from {from} to {to}");
        }
    }
}

#[test]
fn a_cut_parts_a_room_and_its_end_joins_it_again() {
    let mut network = Network::new(5);
    for (zone, index) in [(1, 1), (1, 2), (2, 1), (2, 2)] {
        network.start(node(zone, index), &[node(1, 1)]);
    }
    network.run_until(10 * SECOND, Network::is_whole).expect("they find each other");
    let room = RoomId::from("hall");
    let all = [node(1, 1), node(1, 2), node(2, 1), node(2, 2)];
    open(&mut network, &room, all);
    network.run(5 * SECOND);
    let others = |network: &Network| all.map(|node| network.node(node).nodes_of(&room).count());
    assert_eq!(others(&network), [3; 4]);
    network.cut_zones(1, 2, true);
    network.run(20 * SECOND);
    assert_eq!(others(&network), [1; 4], "each side goes on by itself");
    network.cut_zones(1, 2, false);
    let took = network.run_until(60 * SECOND, |network| others(network) == [3; 4]).expect("they merge");
    assert!(took < 15 * SECOND, "{took:?}");
    network.run(10 * SECOND);
    for from in all {
        network.events.clear();
        network.with(from, |now, cluster| cluster.publish(now, &room, b"hear me"));
        network.run(SECOND / 10);
        for to in all.into_iter().filter(|to| *to != from) {
            assert_eq!(data(&network, to).len(), 1, "from {from} to {to}");
        }
    }
}

#[test]
fn zones_in_a_line_hear_each_other_and_each_link_is_crossed_once() {
    let mut network = Network::new(6);
    network.cut_zones(1, 3, true);
    for zone in 1..=3 {
        for index in 1..=3 {
            network.start(node(zone, index), &[node(2, 1)]);
        }
    }
    let whole = network.run_until(30 * SECOND, Network::is_whole);
    assert!(whole.is_some(), "over the middle all know of all");
    let room = RoomId::from("hall");
    let all: Vec<NodeId> = (1..=3).flat_map(|zone| (1..=3).map(move |index| node(zone, index))).collect();
    open(&mut network, &room, all.iter().copied());
    network.run(15 * SECOND);
    let speaker = node(1, 3);
    network.events.clear();
    network.crossed.clear();
    const PACKETS: usize = 500;
    for _ in 0..PACKETS {
        network.publish(speaker, &room, &[7; 777]);
        network.run(Duration::from_millis(20));
    }
    network.run(SECOND);
    for to in all.iter().filter(|to| **to != speaker) {
        assert_eq!(data(&network, *to).len(), PACKETS, "{to}");
    }
    let crossings = |from: u8, to: u8| -> Vec<u64> {
        let links = network.crossed.iter().filter(|((a, b), _)| (a.zone, b.zone) == (from, to));
        links.map(|(_, crossed)| crossed.media.datagrams).filter(|count| *count > 0).collect()
    };
    let all: Vec<u64> = (1..=3)
        .flat_map(|from| (1..=3).flat_map(move |to| [(from, to)]))
        .flat_map(|(from, to)| crossings(from, to))
        .collect();
    assert!(all.iter().all(|count| *count <= PACKETS as u64), "each link once: {all:?}");
    for (from, to) in [(1, 2), (2, 3)] {
        let links = crossings(from, to).len();
        assert!((1..=2).contains(&links), "by {links} links from zone {from} to {to}");
    }
    assert!(crossings(2, 1).is_empty() && crossings(3, 2).is_empty());
}

#[test]
fn who_was_taken_for_dead_by_many_is_known_again_within_seconds() {
    let mut network = Network::new(14);
    let all: Vec<NodeId> = (1..=4).flat_map(|zone| (1..=12).map(move |index| node(zone, index))).collect();
    for node in &all {
        network.start(*node, &all[..1]);
    }
    network.run_until(10 * SECOND, Network::is_whole).expect("they find each other");
    for zone in 2..=4 {
        network.cut_zones(1, zone, true);
    }
    network.run(20 * SECOND);
    assert!(!network.is_whole());
    for zone in 2..=4 {
        network.cut_zones(1, zone, false);
    }
    let knows_all = |network: &Network| network.nodes().all(|(_, cluster)| cluster.nodes().count() == 47);
    let took = network.run_until(60 * SECOND, knows_all).expect("they are whole again");
    assert!(took < 4 * SECOND, "{took:?}");
}

#[test]
fn what_has_no_way_after_a_cut_goes_round_no_circle() {
    let mut network = Network::new(13);
    for zone in 1..=2 {
        for index in 1..=6 {
            network.start(node(zone, index), &[node(1, 1)]);
        }
    }
    network.run_until(10 * SECOND, Network::is_whole).expect("they find each other");
    network.run(5 * SECOND);
    let sent_in_a_second = |network: &mut Network| -> u64 {
        network.forget();
        network.run(SECOND);
        network.crossed.values().map(|crossed| crossed.control.datagrams + crossed.media.datagrams).sum()
    };
    let usual = (0..4).map(|_| sent_in_a_second(&mut network)).max().expect("there are four");
    network.cut_zones(1, 2, true);
    let cut = (0..8).map(|_| sent_in_a_second(&mut network)).max().expect("there are eight");
    assert!(cut < 10 * usual, "{usual} datagrams a second before, {cut} after");
}

#[test]
fn strangers_join_nothing() {
    let mut network = three(7);
    network.start_as(node(1, 9), info(node(1, 9)), "another secret", &[node(1, 1), node(1, 2)]);
    network.run(10 * SECOND);
    let others = network.nodes().filter(|(id, _)| *id != node(1, 9));
    for (_, cluster) in others {
        assert_eq!((cluster.nodes().count(), cluster.links().count()), (2, 2));
    }
    assert_eq!(network.node(node(1, 9)).nodes().count(), 0);
    assert!(network.node(node(1, 1)).counts().forged > 3);
}

#[test]
fn clocks_that_differ_by_hours_do_no_harm() {
    let mut network = Network::new(8);
    network.skew_ms.insert(node(1, 2), 7 * 3600 * 1000);
    for index in 1..=3 {
        network.start(node(1, index), &[node(1, 1)]);
    }
    network.run_until(20 * SECOND, Network::is_whole).expect("they find each other");
    let room = RoomId::from("hall");
    open(&mut network, &room, (1..=3).map(|index| node(1, index)));
    network.run(30 * SECOND);
    let others = (1..=3).map(|index| network.node(node(1, index)).nodes_of(&room).count());
    assert_eq!(others.collect::<Vec<_>>(), [2; 3]);
    assert!(
        network.events.iter().any(|(.., event)| matches!(event, ClusterEvent::ClockMoved(_))),
        "it is told"
    );
}

#[test]
fn a_lossy_network_parts_nobody() {
    let mut network = three(9);
    network.set_loss(0.1);
    let began = network.time();
    let room = RoomId::from("hall");
    open(&mut network, &room, (1..=3).map(|index| node(1, index)));
    network.run(60 * SECOND);
    let downs = network
        .events
        .iter()
        .filter(|(when, _, event)| *when > began && matches!(event, ClusterEvent::NodeDown(..)));
    assert_eq!(downs.count(), 0);
    let others = (1..=3).map(|index| network.node(node(1, index)).nodes_of(&room).count());
    assert_eq!(others.collect::<Vec<_>>(), [2; 3]);
}

#[test]
fn of_two_ways_the_one_that_loses_less_is_taken() {
    let mut network = three(10);
    network.set_loss_between(node(1, 1), node(1, 2), 0.2);
    network.run(60 * SECOND);
    network.with(node(1, 1), |now, cluster| cluster.ask_routes(now));
    let routes = network.events.iter().rev().find_map(|(.., event)| match event {
        ClusterEvent::Routes(routes) => Some(routes.clone()),
        _ => None,
    });
    let routes = routes.expect("they were asked for");
    let best = routes.iter().find(|route| route.to == "1.2").expect("there is a way");
    assert_eq!(best.via, "1.3", "{routes:?}");
}

#[test]
fn what_a_node_carried_is_known_after_its_death() {
    let mut network = three(11);
    let room = RoomId::from("hall");
    open(&mut network, &room, [node(1, 1), node(1, 2)]);
    network.run(SECOND);
    network.with(node(1, 2), |now, cluster| cluster.carry(now, &room, b"ada moderates".to_vec()));
    network.run(2 * SECOND);
    network.kill(node(1, 2));
    network.run(5 * SECOND);
    let carried = |at: NodeId| {
        let events = network.events.iter().filter(|(_, who, _)| *who == at);
        let carried = events.filter_map(|(.., event)| match event {
            ClusterEvent::Carried { carried, .. } => Some(carried.clone()),
            _ => None,
        });
        carried.collect::<Vec<_>>().pop()
    };
    assert_eq!(carried(node(1, 1)), Some(b"ada moderates".to_vec()));
}

#[test]
fn a_second_node_of_one_id_is_told_to_go() {
    let mut network = three(12);
    // It is at another address, so it needs another node to stand for that.
    let elsewhere = node(1, 77);
    let mut network_info = info(node(1, 2));
    network_info.cluster = address(elsewhere);
    network.start_elsewhere(elsewhere, node(1, 2), network_info, &[node(1, 1)]);
    network.run(3 * SECOND);
    let refused = |event: &ClusterEvent| matches!(event, ClusterEvent::IdTaken(_));
    assert!(network.events.iter().any(|(_, who, event)| *who == elsewhere && refused(event)));
    assert!(!network.events.iter().any(|(_, who, event)| *who == node(1, 2) && refused(event)));
    assert_eq!(network.node(node(1, 1)).nodes().count(), 2);
}

/// What a node waits for of the camera `source` of the first node: it tells that each second.
fn want(network: &mut Network, room: &RoomId, who: NodeId, source: SourceId, encodings: u8) {
    let publisher = node(1, 1);
    let attempt =
        network.with(who, |now, cluster| cluster.want_picture(now, room, (publisher, source), encodings));
    for number in (0..8).filter(|number| encodings & (1 << number) != 0) {
        let encoding = EncodingId { source, number };
        network.with(publisher, |now, cluster| cluster.offer_picture(now, room, encoding, attempt));
    }
}

/// The first node's camera sends a frame in each of three streams, named by their numbers, twenty times in a second.
fn film(network: &mut Network, room: &RoomId, source: SourceId) {
    network.events.clear();
    network.forget();
    for _ in 0..20 {
        for number in 0..3 {
            let encoding = EncodingId { source, number };
            let packet = vec![number; 1000];
            network.with(node(1, 1), |now, cluster| cluster.publish_picture(now, room, encoding, &packet));
        }
        network.run(SECOND / 20);
    }
}

/// How many packets of each of the three streams a node got.
fn seen(network: &Network, at: NodeId) -> [usize; 3] {
    let packets = data(network, at);
    [0, 1, 2].map(|number| packets.iter().filter(|(_, _, packet)| packet[0] == number).count())
}

#[test]
fn each_stream_of_a_picture_crosses_to_where_it_is_watched() {
    let mut network = three(11);
    let (room, camera) = (RoomId::from("hall"), SourceId(7));
    let [large, small] = [node(1, 2), node(1, 3)];
    open(&mut network, &room, [node(1, 1), large, small]);
    network.run(2 * SECOND);
    want(&mut network, &room, large, camera, 0b101);
    want(&mut network, &room, small, camera, 0b001);
    network.run(SECOND / 10);
    film(&mut network, &room, camera);
    assert_eq!((seen(&network, large), seen(&network, small)), ([20, 0, 20], [20, 0, 0]));
    // A size that isn't wanted any more comes for a while, and is there at once if it is wanted again.
    want(&mut network, &room, large, camera, 0b001);
    network.run(SECOND);
    want(&mut network, &room, large, camera, 0b100);
    film(&mut network, &room, camera);
    assert_eq!(seen(&network, large)[2], 20);
    network.run(2 * SECOND);
    film(&mut network, &room, camera);
    assert_eq!((seen(&network, large), seen(&network, small)), ([0, 0, 20], [20, 0, 0]));
    // Nobody wants it, and then it costs nothing.
    want(&mut network, &room, large, camera, 0);
    want(&mut network, &room, small, camera, 0);
    network.run(3 * SECOND);
    film(&mut network, &room, camera);
    let bytes =
        network.crossed.values().map(|crossed| crossed.media.bytes + crossed.control.bytes).sum::<u64>();
    assert!(bytes < 20_000, "{bytes} of 60,000");
    network.run(10 * SECOND);
    let channels = |network: &Network, at| network.node(at).counts().sources;
    assert_eq!((channels(&network, large), channels(&network, small)), (2, 2), "the room's own");
}

#[test]
fn a_picture_that_is_watched_is_seen_again_after_a_cut_and_after_a_node_came_anew() {
    let mut network = Network::new(12);
    for (zone, index) in [(1, 1), (1, 2), (2, 1), (2, 2)] {
        network.start(node(zone, index), &[node(1, 1)]);
    }
    network.run_until(10 * SECOND, Network::is_whole).expect("they find each other");
    let (room, camera) = (RoomId::from("hall"), SourceId(7));
    let all = [node(1, 1), node(1, 2), node(2, 1), node(2, 2)];
    open(&mut network, &room, all);
    let viewers = [node(1, 2), node(2, 1), node(2, 2)];
    // As long as they are told each second, as nodes do.
    let watch = |network: &mut Network, seconds: u32| {
        for _ in 0..seconds {
            for viewer in viewers {
                want(network, &room, viewer, camera, 0b100);
            }
            network.run(SECOND);
        }
    };
    watch(&mut network, 5);
    film(&mut network, &room, camera);
    assert_eq!(viewers.map(|viewer| seen(&network, viewer)), [[0, 0, 20]; 3]);
    network.cut_zones(1, 2, true);
    watch(&mut network, 20);
    film(&mut network, &room, camera);
    assert_eq!(viewers.map(|viewer| seen(&network, viewer)), [[0, 0, 20], [0; 3], [0; 3]]);
    network.cut_zones(1, 2, false);
    watch(&mut network, 30);
    film(&mut network, &room, camera);
    assert_eq!(viewers.map(|viewer| seen(&network, viewer)), [[0, 0, 20]; 3]);
    network.kill(node(1, 1));
    network.run(5 * SECOND);
    network.start(node(1, 1), &[node(1, 2)]);
    network.run_until(10 * SECOND, Network::is_whole).expect("it is back");
    open(&mut network, &room, [node(1, 1)]);
    watch(&mut network, 10);
    film(&mut network, &room, camera);
    assert_eq!(viewers.map(|viewer| seen(&network, viewer)), [[0, 0, 20]; 3]);
}
