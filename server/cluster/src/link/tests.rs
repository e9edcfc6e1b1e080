use super::*;

/// Two nodes, and the datagrams between them.
struct Pair {
    now: Instant,
    links: [Links; 2],
    clocks: [ClusterClock; 2],
    delay: Duration,
    under_way: VecDeque<(Instant, usize, Vec<u8>)>,
    events: [Vec<LinkEvent>; 2],
    /// Every so many datagrams one is lost.
    lose_each: Option<usize>,
    sent: usize,
}

fn address(side: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, side as u8 + 1], 50100))
}

fn node(index: u8) -> NodeId {
    NodeId { zone: 1, index }
}

impl Pair {
    fn new(secrets: [&str; 2]) -> Pair {
        let now = Instant::now();
        let links = |side: usize| {
            let boot = BootId::new(1_000 + side as u64, 0);
            Links::new(now, node(side as u8 + 1), boot, Secret::from_text(secrets[side]))
        };
        Pair {
            now,
            links: [links(0), links(1)],
            clocks: [ClusterClock::new(now, 5_000), ClusterClock::new(now, 90_000)],
            delay: Duration::from_millis(4),
            under_way: VecDeque::new(),
            events: [Vec::new(), Vec::new()],
            lose_each: None,
            sent: 0,
        }
    }

    fn run(&mut self, ms: u64) {
        for _ in 0..ms {
            self.now += Duration::from_millis(1);
            for side in 0..2 {
                self.links[side].handle_timeout(self.now, &self.clocks[side]);
            }
            let due = self.under_way.partition_point(|(at, ..)| *at <= self.now);
            for (_, to, datagram) in self.under_way.drain(..due).collect::<Vec<_>>() {
                let clock = &mut self.clocks[to];
                self.links[to].handle_datagram(self.now, clock, address(1 - to), &datagram);
            }
            for side in 0..2 {
                while let Some((to, datagram)) = self.links[side].poll_transmit() {
                    self.sent += 1;
                    if to == address(1 - side) && self.lose_each.is_none_or(|n| !self.sent.is_multiple_of(n))
                    {
                        self.under_way.push_back((self.now + self.delay, 1 - side, datagram));
                    }
                }
                while let Some(event) = self.links[side].poll_event() {
                    self.events[side].push(event);
                }
            }
        }
    }

    fn is_up(&self) -> [bool; 2] {
        [self.links[0].to(node(2)).is_some(), self.links[1].to(node(1)).is_some()]
    }

    fn link(&self, side: usize) -> LinkId {
        self.links[side].iter().next().expect("it is up").id
    }
}

fn connected() -> Pair {
    let mut pair = Pair::new(["a secret"; 2]);
    pair.links[0].set_wanted(pair.now, [address(1)]);
    pair.run(50);
    assert_eq!(pair.is_up(), [true; 2]);
    pair
}

#[test]
fn two_nodes_find_each_other_measure_the_way_and_share_the_later_clock() {
    let mut pair = connected();
    pair.run(1000);
    for side in 0..2 {
        let quality = pair.links[side].iter().next().map(Link::quality).expect("it is up");
        let rtt = quality.rtt.expect("beats came back");
        assert!(rtt >= Duration::from_millis(8) && rtt < Duration::from_millis(11), "{rtt:?}");
    }
    let times = [pair.clocks[0].ms(pair.now), pair.clocks[1].ms(pair.now)];
    assert!(times[0].abs_diff(times[1]) < 250, "{times:?}");
    assert!(times[0] > 90_000);
}

#[test]
fn both_may_begin_at_once() {
    let mut pair = Pair::new(["a secret"; 2]);
    pair.links[0].set_wanted(pair.now, [address(1)]);
    pair.links[1].set_wanted(pair.now, [address(0)]);
    pair.run(3000);
    assert_eq!(pair.is_up(), [true; 2]);
    for side in 0..2 {
        let ups = pair.events[side].iter().filter(|event| matches!(event, LinkEvent::Up { .. }));
        assert_eq!(ups.count(), 1);
        let link = pair.link(side);
        pair.links[side].send(link, b"network");
    }
    pair.run(10);
    for events in &pair.events {
        let came = |event: &LinkEvent| matches!(event, LinkEvent::Network { datagram, .. } if datagram == b"network");
        assert!(events.iter().any(came));
    }
}

#[test]
fn whoever_lacks_the_secret_gets_no_link_and_no_answer() {
    let mut pair = Pair::new(["a secret", "another"]);
    pair.links[0].set_wanted(pair.now, [address(1)]);
    pair.run(5000);
    assert_eq!(pair.is_up(), [false; 2]);
    assert!(
        pair.links[1].forged >= 4 && pair.sent == pair.links[1].forged as usize,
        "the stranger hears nothing"
    );
    assert!(pair.links[1].peers.is_empty());
}

#[test]
fn nothing_that_was_recorded_serves_again() {
    let mut pair = connected();
    let link = pair.link(0);
    pair.links[0].send(link, b"once");
    let mut recorded = Vec::new();
    while let Some((_, datagram)) = pair.links[0].poll_transmit() {
        recorded.push(datagram);
    }
    let (events, forged) = (pair.events[1].len(), pair.links[1].forged);
    for _ in 0..3 {
        for datagram in &recorded {
            pair.links[1].handle_datagram(pair.now, &mut pair.clocks[1], address(0), datagram);
        }
        // From elsewhere it isn't even looked at.
        pair.links[1].handle_datagram(pair.now, &mut pair.clocks[1], address(7), &recorded[0]);
    }
    pair.run(1);
    assert_eq!(pair.events[1].len() - events, 1);
    assert_eq!(pair.links[1].forged - forged, 5);
}

#[test]
fn a_handshake_that_is_sent_again_changes_nothing() {
    let mut pair = Pair::new(["a secret"; 2]);
    pair.links[0].set_wanted(pair.now, [address(1)]);
    pair.links[0].handle_timeout(pair.now, &pair.clocks[0]);
    let (_, first) = pair.links[0].poll_transmit().expect("it asks");
    pair.links[1].handle_datagram(pair.now, &mut pair.clocks[1], address(0), &first);
    pair.run(20);
    pair.run(300);
    let before = pair.link(1);
    for port in 0..200 {
        let elsewhere = SocketAddr::from(([10, 9, 9, 9], port));
        for from in [address(0), elsewhere] {
            pair.links[1].handle_datagram(pair.now, &mut pair.clocks[1], from, &first);
        }
    }
    pair.run(1000);
    assert_eq!((pair.is_up(), pair.link(1)), ([true; 2], before));
    assert!(pair.links[1].peers.len() <= PENDING_MAX + 1);
}

#[test]
fn a_node_that_falls_silent_is_down_after_two_seconds_and_back_when_it_speaks() {
    let mut pair = connected();
    pair.lose_each = Some(1);
    pair.run(1600);
    assert_eq!(pair.is_up(), [true; 2]);
    pair.run(800);
    assert_eq!(pair.is_up(), [false; 2]);
    let down = |event: &LinkEvent| matches!(event, LinkEvent::Down { why: Farewell::Silent, .. });
    assert!(pair.events.iter().all(|events| events.iter().any(down)));
    pair.lose_each = None;
    pair.run(2500);
    assert_eq!(pair.is_up(), [true; 2]);
}

#[test]
fn loss_is_measured_on_both_sides() {
    let mut pair = connected();
    pair.lose_each = Some(10);
    for _ in 0..2500 {
        let link = pair.link(0);
        pair.links[0].send(link, b"a packet");
        pair.run(10);
    }
    let [ours, theirs] = [0, 1].map(|side| pair.links[side].iter().next().map(Link::quality).expect("up"));
    assert!((80..=120).contains(&ours.lost_out_permille), "{ours:?}");
    assert_eq!(ours.lost_out_permille, theirs.lost_in_permille);
}

#[test]
fn a_node_that_was_restarted_gets_a_new_link_at_once() {
    let mut pair = connected();
    let before = pair.link(0);
    pair.links[1] = Links::new(pair.now, node(2), BootId::new(2_000, 0), Secret::from_text("a secret"));
    pair.links[1].set_wanted(pair.now, [address(0)]);
    pair.run(50);
    assert_eq!(pair.is_up(), [true; 2]);
    assert_ne!(pair.link(0), before);
    let down = |event: &LinkEvent| matches!(event, LinkEvent::Down { why: Farewell::Restarted, .. });
    assert!(pair.events[0].iter().any(down));
}

#[test]
fn a_node_whose_id_is_taken_is_told_so() {
    let mut pair = Pair::new(["a secret"; 2]);
    pair.links[1] = Links::new(pair.now, node(1), BootId::new(2_000, 0), Secret::from_text("a secret"));
    pair.links[1].set_wanted(pair.now, [address(0)]);
    pair.run(50);
    assert_eq!(pair.links[0].iter().count() + pair.links[1].iter().count(), 0);
    assert!(pair.events[1].iter().any(|event| matches!(event, LinkEvent::Refused(_))));
}
